"""Reads a picture that a stranger sent: a program of its own, that knows no secret.

`python -m services.gallery.picture_files` takes the file on its standard input and answers a line
of JSON, then the bytes of the picture and of its thumbnail. What the file is, its content tells.
The picture is decoded in full and encoded anew, so that nothing but pixels remains: no EXIF (place,
camera), no XMP, no colour profile, and nothing that was hidden behind the pixels.
"""

import io
import json
import os
import resource
import sys
from dataclasses import asdict, dataclass
from typing import Literal

from PIL import Image, ImageOps

PictureFormat = Literal["png", "jpeg", "webp"]
# MPO is the JPEG of telephones: its first picture is the photograph
FORMATS: dict[str, PictureFormat] = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp"}
MAX_PIXELS = 25_000_000
MAX_SIDE = 8192
QUALITY = 95
THUMBNAIL_SIDE = 256
MAX_MEMORY_BYTES = 2**30
MAX_CPU_SECONDS = 20
REFUSED = 65  # EX_DATAERR of sysexits.h


class NotAPicture(Exception):
    """Why the file is refused: the rest of a sentence that begins with "The file"."""


@dataclass(frozen=True)
class Facts:
    """What is known of a picture; sizes in bytes, sides in pixels."""

    format: PictureFormat
    width: int
    height: int
    size_bytes: int
    thumbnail_bytes: int


@dataclass(frozen=True)
class Picture:
    """A picture encoded anew, and its thumbnail (webp, at most 256 px a side)."""

    facts: Facts
    body: bytes
    thumbnail: bytes


def read_picture(data: bytes) -> Picture:
    """Raises NotAPicture."""
    image = open_picture(data)
    file_format = FORMATS[str(image.format)]
    pixels = upright_pixels(image)
    body = encode(pixels, file_format.upper(), quality=QUALITY)
    small = pixels.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    thumbnail = encode(small, "WEBP", quality=80)
    facts = Facts(file_format, *pixels.size, len(body), len(thumbnail))
    return Picture(facts, body, thumbnail)


def open_picture(data: bytes) -> Image.Image:
    """The file's head, checked before a pixel is decoded. Raises NotAPicture."""
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, below
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
    except Exception:  # noqa: BLE001 - decoders raise whatever a broken head makes them
        raise NotAPicture("is no PNG, JPEG or WebP") from None
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        limit = f"{MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE} pixels a side are allowed"
        raise NotAPicture(f"has {width} x {height} pixels; {limit}")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise NotAPicture("is animated; one still picture is allowed")
    return image


def upright_pixels(image: Image.Image) -> Image.Image:
    """RGB or RGBA, turned as its EXIF says, without anything else. Raises NotAPicture."""
    try:
        image.load()
        pixels = ImageOps.exif_transpose(image)
        if pixels.mode.startswith("I"):  # 16 bits of grey
            pixels = pixels.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        has_alpha = "A" in pixels.getbands() or "transparency" in pixels.info
        pixels = pixels.convert("RGBA" if has_alpha else "RGB")
    except Exception as error:  # noqa: BLE001 - decoders raise whatever broken data makes them
        raise NotAPicture(f"is damaged: {str(error)[:100]}") from None
    pixels.info.clear()  # or encoders would write profiles and XMP again
    return pixels


def encode(pixels: Image.Image, kind: str, *, quality: int) -> bytes:
    """The bytes of a file of that kind; PNG takes no quality."""
    buffer = io.BytesIO()
    pixels.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def limit_resources() -> None:
    """A file that makes a decoder greedy ends this process alone."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)


def main() -> None:
    """Standard input to standard output; exit status 65 with the reason if it is refused."""
    limit_resources()
    output = sys.stdout.buffer
    try:
        picture = read_picture(sys.stdin.buffer.read())
    except NotAPicture as refusal:
        output.write(str(refusal).encode())
        sys.exit(REFUSED)
    output.write(json.dumps(asdict(picture.facts)).encode() + b"\n")
    output.write(picture.body + picture.thumbnail)


if __name__ == "__main__":
    main()
