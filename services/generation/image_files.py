"""From pixels to files: png, jpeg or webp that carry their parameters, and a thumbnail."""

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from services.generation.schemas import ImageFormat

Pixels = NDArray[np.uint8]
THUMBNAIL_SIDE = 256
PREVIEW_SIDE = 32
EXIF_IMAGE_DESCRIPTION = 0x010E
EXIF_SOFTWARE = 0x0131
MEDIA_TYPES: dict[ImageFormat, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}


def parameters_text(parameters: dict[str, Any], *, ascii_only: bool) -> str:
    """The parameters as one line of JSON with sorted names: the same request, the same bytes."""
    return json.dumps(parameters, sort_keys=True, ensure_ascii=ascii_only)


def encode_image(pixels: Pixels, file_format: ImageFormat, parameters: dict[str, Any]) -> bytes:
    """Encode `[height, width, 3]` uint8 RGB. PNG carries `parameters` as text, the others as
    EXIF, whose texts are ASCII.

    PNG is lossless; jpeg and webp are written at quality 95.
    """
    image = Image.fromarray(pixels, "RGB")
    buffer = io.BytesIO()
    if file_format == "png":
        info = PngInfo()
        info.add_itxt("parameters", parameters_text(parameters, ascii_only=False))
        info.add_text("Software", "Easel")
        image.save(buffer, "PNG", pnginfo=info)
    else:
        exif = Image.Exif()
        exif[EXIF_IMAGE_DESCRIPTION] = parameters_text(parameters, ascii_only=True)
        exif[EXIF_SOFTWARE] = "Easel"
        image.save(buffer, file_format.upper(), quality=95, exif=exif)
    return buffer.getvalue()


def encode_thumbnail(pixels: Pixels) -> bytes:
    """A webp of at most 256 px a side; small pictures keep their size."""
    image = Image.fromarray(pixels, "RGB")
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def encode_preview(pixels: Pixels) -> bytes:
    """A PNG of a latent preview of at most 32 px a side: it travels in every progress event."""
    image = Image.fromarray(pixels, "RGB")
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
