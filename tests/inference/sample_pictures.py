"""Pictures that come along with requests of tests."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


def make_image(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """A smooth random RGB picture: 4 x 4 colours, enlarged."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


def make_mask(
    width: int = 64, height: int = 64, box: tuple[int, int, int, int] = (16, 8, 48, 40)
) -> Image.Image:
    """Black with a white box."""
    mask = Image.new("L", (width, height))
    mask.paste(255, box)
    return mask


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
