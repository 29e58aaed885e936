"""Pictures that come with a request: encoded files to PIL pictures, within bounds.

Decoding takes up to a second for the largest pictures: `picture.aside` keeps it off the step loop.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from inference.pipelines.request import MAX_SIDE_PIXELS, InvalidRequest

FORMATS = ("PNG", "JPEG", "WEBP")
DEEP_GREY = "I;16"
# VaeImageProcessor.binarize of diffusers: a grey of at least 0.5 is white.
WHITE_FROM = 128


def require_file(files: Sequence[bytes], number: int | None, field: str) -> bytes:
    """The file that a field of the request refers to. Raises InvalidRequest when there is none."""
    if number is None:
        raise InvalidRequest(f"{field} is missing")
    if number >= len(files):
        raise InvalidRequest(f"{field}: there is no file {number}, only {len(files)} came along")
    return files[number]


def read_image(data: bytes, field: str) -> Image.Image:
    """An RGB picture; what is transparent lies over white. Raises InvalidRequest."""
    return _over("white", _read(data, field)).convert("RGB")


def read_mask(data: bytes, field: str) -> Image.Image:
    """A grey picture; what is transparent counts as black. Raises InvalidRequest."""
    return _over("black", _read(data, field)).convert("L")


def read_transparency(data: bytes, field: str) -> Image.Image:
    """How transparent each pixel is, as a grey picture: white is clear. Raises InvalidRequest."""
    return ImageOps.invert(_read(data, field).convert("RGBA").getchannel("A"))


def require_sides(field: str, picture: Image.Image, width: int, height: int) -> None:
    """Raises InvalidRequest unless a picture has just these sides."""
    if picture.size != (width, height):
        raise InvalidRequest(
            f"{field} must be {width} x {height} pixels, not {picture.width} x {picture.height}"
        )


def require_white(field: str, mask: Image.Image, cell: int) -> None:
    """Raises InvalidRequest for a mask that leaves all latent cells of `cell` pixels as they are.

    A cell is drawn anew when its first pixel is white: nearest-neighbour interpolation, as in the
    inpainting pipelines of diffusers.
    """
    grey = np.asarray(mask)
    if grey.max() < WHITE_FROM:
        raise InvalidRequest(f"{field} is all black: nothing would be drawn")
    if grey[::cell, ::cell].max() < WHITE_FROM:
        raise InvalidRequest(
            f"{field}: nothing would be drawn: its white parts lie within cells of {cell} pixels"
        )


def _read(data: bytes, field: str) -> Image.Image:
    """The first frame, upright, in 8 bits a channel, RGBA where anything is transparent."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            _require_bounds(field, picture)
            upright = ImageOps.exif_transpose(picture)
            upright.load()
    except InvalidRequest:
        raise
    except Exception as error:
        raise InvalidRequest(
            f"{field} is not a picture that can be read ({', '.join(FORMATS)})"
        ) from error
    if upright.mode.startswith(DEEP_GREY):
        upright = upright.point(lambda grey: grey / 256).convert("L")
    return upright.convert("RGBA" if upright.has_transparency_data else "RGB")


def _require_bounds(field: str, picture: Image.Image) -> None:
    """From the header, before any pixel is decoded."""
    if max(picture.size) > MAX_SIDE_PIXELS:
        raise InvalidRequest(
            f"{field} must have sides of at most {MAX_SIDE_PIXELS} pixels, "
            f"not {picture.width} x {picture.height}"
        )


def _over(colour: str, picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, colour), picture)
