import zlib

import numpy as np
import pytest
from PIL import Image

from inference.pipelines.images import (
    read_image,
    read_mask,
    read_transparency,
    require_file,
    require_sides,
    require_white,
)
from inference.pipelines.request import InvalidRequest
from tests.inference.sample_pictures import encode, make_image, make_mask

ORIENTATION = 0x0112
ROTATED = 6  # to be turned clockwise by a quarter


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_come_as_they_are(kind: str, options: dict[str, bool]) -> None:
    picture = make_image(24, 16)
    assert read_image(encode(picture, kind, **options), "image").tobytes() == picture.tobytes()


def test_jpeg_comes_nearly_as_it_is() -> None:
    picture = make_image(128, 128)
    read = read_image(encode(picture, "JPEG", quality=95), "image")
    assert np.abs(np.asarray(read).astype(int) - np.asarray(picture)).mean() < 4


def test_a_picture_is_turned_as_its_camera_was() -> None:
    picture = make_image(24, 16)
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    read = read_image(encode(picture, "PNG", exif=exif), "image")
    assert read.size == (16, 24)
    assert np.array_equal(np.asarray(read), np.rot90(np.asarray(picture), -1))


def test_what_is_transparent_is_white_in_an_image_and_black_in_a_mask() -> None:
    picture = Image.new("RGBA", (2, 1), (255, 255, 255, 255))
    picture.putpixel((1, 0), (10, 20, 30, 0))
    half = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    assert list(read_image(encode(picture), "image").get_flattened_data()) == [(255,) * 3] * 2
    assert list(read_image(encode(half), "image").get_flattened_data()) == [(127,) * 3]
    assert list(read_mask(encode(picture), "mask").get_flattened_data()) == [255, 0]
    assert list(read_transparency(encode(picture), "mask").get_flattened_data()) == [0, 255]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_pixel_is_read_as_colours(mode: str) -> None:
    picture = Image.new("L", (4, 4), 128).convert(mode)
    assert read_image(encode(picture), "image").getextrema() == ((128, 128),) * 3
    assert read_mask(encode(picture), "mask").getextrema() == (128, 128)


def test_sixteen_bits_of_grey_become_eight() -> None:
    picture = Image.fromarray(np.array([[0, 256, 128 * 256, 65535]], dtype=np.uint16))
    assert list(read_mask(encode(picture), "mask").get_flattened_data()) == [0, 1, 128, 255]
    assert read_image(encode(picture), "image").getpixel((2, 0)) == (128, 128, 128)


def test_black_and_white_are_read_as_greys() -> None:
    picture = make_mask(8, 8, (0, 0, 4, 8)).convert("1")
    assert read_mask(encode(picture), "mask").getcolors() == [(32, 0), (32, 255)]


def test_ink_on_paper_is_read_as_colours() -> None:
    picture = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = read_image(encode(picture, "JPEG"), "image").getpixel((4, 4))  # type: ignore[misc]
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a picture",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encode(make_image(), "GIF"),
        encode(make_image(), "TIFF"),
        encode(make_image())[:200],
        encode(make_image(), "JPEG")[:300],
        encode(make_image(), "WEBP")[:60],
        b"\x89PNG\r\n\x1a\n" + bytes(64),
    ],
)
def test_what_is_no_picture_is_refused_by_name(data: bytes) -> None:
    for read in (read_image, read_mask, read_transparency):
        with pytest.raises(InvalidRequest, match=r"^mask is not a picture that can be read"):
            read(data, "mask")


def test_a_bomb_is_refused_by_its_header() -> None:
    """30000 x 30000 pixels said in 60 bytes: nothing is decoded."""
    header = (30000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + len(header).to_bytes(4, "big") + chunk
    bomb += zlib.crc32(chunk).to_bytes(4, "big")
    with pytest.raises(InvalidRequest, match="image"):
        read_image(bomb, "image")


def test_sides_over_the_bound_are_named() -> None:
    with pytest.raises(InvalidRequest, match="image .* at most 4096 pixels, not 4104 x 8"):
        read_image(encode(Image.new("RGB", (4104, 8))), "image")


def test_a_file_that_did_not_come_along_is_refused() -> None:
    assert require_file([b"a", b"b"], 1, "mask") == b"b"
    with pytest.raises(InvalidRequest, match="mask: there is no file 2, only 2 came along"):
        require_file([b"a", b"b"], 2, "mask")
    with pytest.raises(InvalidRequest, match="image is missing"):
        require_file([], None, "image")


def test_other_sides_are_refused_with_both() -> None:
    require_sides("mask", make_mask(16, 8), 16, 8)
    with pytest.raises(InvalidRequest, match="mask must be 64 x 64 pixels, not 16 x 8"):
        require_sides("mask", make_mask(16, 8), 64, 64)


def test_a_mask_that_draws_nothing_is_refused() -> None:
    require_white("mask", make_mask(), 4)
    require_white("mask", Image.new("L", (8, 8), 128), 4)
    with pytest.raises(InvalidRequest, match="mask is all black: nothing would be drawn"):
        require_white("mask", Image.new("L", (8, 8), 127), 4)
    with pytest.raises(InvalidRequest, match="mask: nothing would be drawn: .* cells of 4 pixels"):
        require_white("mask", make_mask(8, 8, (1, 1, 4, 4)), 4)
