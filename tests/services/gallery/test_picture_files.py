"""Strangers' files: what is kept of them, and what is refused, by the program that reads them."""

import asyncio
import time

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from services.gallery import picture_files
from services.gallery.decoding import MODULE, Decoder
from services.gallery.picture_files import MAX_PIXELS, MAX_SIDE, NotAPicture, read_picture
from services.gallery.problems import ImageNotValid
from tests.services.gallery.pictures import (
    GIF,
    ORIENTATION,
    SVG,
    animation,
    exif_with_place,
    opened,
    picture,
    png_of,
    saved,
)

RED, BLUE = (255, 0, 0), (0, 0, 255)
PROFILE = b"profile of ada's screen" * 10


def refusal(data: bytes) -> str:
    with pytest.raises(NotAPicture) as refused:
        read_picture(data)
    return str(refused.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_keeps_its_kind_and_its_look(kind: str) -> None:
    read = read_picture(picture(kind))
    assert (read.facts.format, read.facts.width, read.facts.height) == (kind.lower(), 40, 20)
    kept = opened(read.body)
    assert kept.format == kind and kept.size == (40, 20)
    for place, colour in (((5, 10), RED), ((35, 10), BLUE)):
        shade = kept.convert("RGB").getpixel(place)
        assert isinstance(shade, tuple)
        assert max(abs(a - b) for a, b in zip(shade, colour, strict=True)) < 12
    assert (len(read.body), len(read.thumbnail)) == (
        read.facts.size_bytes,
        read.facts.thumbnail_bytes,
    )


def test_a_png_keeps_every_pixel_and_its_transparency() -> None:
    noise = Image.effect_noise((64, 64), 90).convert("RGBA")
    noise.putalpha(Image.effect_noise((64, 64), 90))
    assert opened(read_picture(saved(noise, "PNG")).body).tobytes() == noise.tobytes()


def test_the_thumbnail_is_a_small_webp() -> None:
    thumbnail = opened(read_picture(picture("JPEG", (1024, 512))).thumbnail)
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (256, 128))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_nothing_but_pixels_remains(kind: str) -> None:
    data = picture(kind, exif=exif_with_place(), icc_profile=PROFILE, xmp=b"<x>place of ada</x>")
    assert b"CameraOfAda" in data and opened(data).info["icc_profile"] == PROFILE
    read = read_picture(data + b"<?php echo 1; ?> behind the end")
    for kept in (read.body, read.thumbnail):
        for mark in (b"CameraOfAda", b"place of ada", b"php", b"Exif", b"eXIf"):
            assert mark not in kept
        assert not opened(kept).getexif()
        assert not {"icc_profile", "exif", "xmp"} & set(opened(kept).info)


def test_texts_of_a_png_go_too() -> None:
    info = PngInfo()
    info.add_text("Comment", "ada lives here", zip=False)
    data = picture("PNG", pnginfo=info)
    assert b"ada lives here" in data
    assert b"ada lives here" not in read_picture(data).body


def test_a_photograph_is_turned_as_its_camera_says() -> None:
    read = read_picture(picture("JPEG", exif=exif_with_place(orientation=6)))
    assert (read.facts.width, read.facts.height) == (20, 40)
    kept = opened(read.body)
    assert ORIENTATION not in kept.getexif()
    top = kept.getpixel((10, 2))
    assert isinstance(top, tuple) and top[0] > 200 and top[2] < 50


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_every_mode_of_pixels_is_read(mode: str) -> None:
    image = Image.new(mode, (8, 8), 1 if mode in ("1", "P") else None)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert opened(read_picture(saved(image, kind)).body).mode in ("RGB", "RGBA")


def test_sixteen_bits_of_grey_become_eight() -> None:
    grey = Image.new("I;16", (8, 8), 0x8000)
    assert opened(read_picture(saved(grey, "PNG")).body).getpixel((1, 1)) == (128, 128, 128)


@pytest.mark.parametrize("data", [b"", b"x", GIF, SVG, b"%PDF-1.7", b"PK\x03\x04", b"BM" * 40])
def test_what_is_no_picture_of_the_three_kinds_is_refused(data: bytes) -> None:
    assert refusal(data) == "is no PNG, JPEG or WebP"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_damaged_picture_is_refused(kind: str) -> None:
    noise = saved(Image.effect_noise((200, 200), 90).convert("RGB"), kind)
    assert refusal(noise[: len(noise) // 2]).startswith(("is damaged", "is no PNG"))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    assert refusal(animation(kind)) == "is animated; one still picture is allowed"


@pytest.mark.parametrize("size", [(MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (5001, 5000), (2**31, 1)])
def test_too_many_pixels_are_refused_unread(size: tuple[int, int]) -> None:
    started = time.monotonic()
    reason = refusal(png_of(*size, pixels=b"\0" * 10_000_000))
    assert "pixels" in reason or reason == "is no PNG, JPEG or WebP"
    assert time.monotonic() - started < 1
    assert MAX_PIXELS < 5001 * 5000


def test_a_head_that_lies_about_its_data_is_refused() -> None:
    assert refusal(png_of(4000, 4000, pixels=b"\0" * 1000)).startswith("is damaged")


async def test_the_program_reads_as_the_function_does() -> None:
    assert MODULE == picture_files.__name__
    data = picture("JPEG", exif=exif_with_place())
    assert await Decoder().read(data) == read_picture(data)
    with pytest.raises(ImageNotValid, match="The file is no PNG, JPEG or WebP"):
        await Decoder().read(SVG)


async def test_a_file_that_takes_too_long_is_refused_and_its_process_ends() -> None:
    large = picture("PNG", (5000, 5000))
    with pytest.raises(ImageNotValid, match="too much time"):
        await Decoder(seconds=0.3).read(large)


async def test_the_service_answers_while_a_large_picture_is_read() -> None:
    reading = asyncio.create_task(Decoder().read(picture("PNG", (5000, 5000))))
    longest, last = 0.0, time.monotonic()
    while not reading.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert (await reading).facts.width == 5000
    assert longest < 0.5
