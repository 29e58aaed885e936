import io
import json
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from services.generation.image_files import encode_image, encode_thumbnail
from services.generation.schemas import ImageFormat

PIXELS = np.random.default_rng(7).integers(0, 256, (64, 96, 3), dtype=np.uint8)
PARAMETERS = {"prompt": "ein Äpfel 苹果 🍎", "seed": 7, "steps": 20}


def test_png_keeps_every_pixel_and_carries_its_parameters() -> None:
    image = Image.open(io.BytesIO(encode_image(PIXELS, "png", PARAMETERS)))
    image.load()
    assert np.array_equal(np.asarray(image), PIXELS)
    assert json.loads(image.info["parameters"]) == PARAMETERS


@pytest.mark.parametrize("file_format", ["jpeg", "webp"])
def test_the_other_formats_carry_them_as_exif(file_format: ImageFormat) -> None:
    image = Image.open(io.BytesIO(encode_image(PIXELS, file_format, PARAMETERS)))
    assert image.size == (96, 64)
    assert json.loads(image.getexif()[0x010E]) == PARAMETERS


@pytest.mark.parametrize("file_format", get_args(ImageFormat))
def test_the_same_picture_gives_the_same_bytes(file_format: ImageFormat) -> None:
    first, second = (encode_image(PIXELS.copy(), file_format, PARAMETERS) for _ in range(2))
    assert first == second


def test_thumbnails_fit_into_256_and_never_grow() -> None:
    large = np.zeros((512, 1024, 3), dtype=np.uint8)
    assert Image.open(io.BytesIO(encode_thumbnail(large))).size == (256, 128)
    assert Image.open(io.BytesIO(encode_thumbnail(PIXELS))).size == (96, 64)
