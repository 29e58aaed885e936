"""Masks, margins and their soft edges."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.pipelines.inpaint import overlay, soften
from inference.pipelines.outpaint import extend, margins
from inference.pipelines.request import InvalidRequest
from tests.inference.drawn import draw
from tests.inference.pipelines.models import Models
from tests.inference.sample_pictures import encode, make_image, make_mask
from tests.inference.sample_requests import request

IMAGE, MASK = make_image(), make_mask()
INPAINT = {"task": "inpaint", "image": 0, "mask": 1, "strength": 1.0}
OUTPAINT = {"task": "outpaint", "image": 0, "strength": 1.0}


def test_an_edge_rises_within_the_white_part() -> None:
    row = np.asarray(soften(make_mask(16, 16, (4, 0, 16, 16)), 4))[8]
    assert row.tolist() == [0, 0, 0, 0, 64, 128, 191, 255, 255, 255, 255, 255, 255, 255, 255, 255]


def test_a_whole_latent_cell_is_drawn_wholly() -> None:
    soft = np.asarray(soften(make_mask(24, 24, (8, 8, 16, 16)), 4))
    assert soft.max() == 255
    assert (soft > 0).sum() == 64


def test_an_overlay_keeps_black_and_takes_white_bit_for_bit() -> None:
    drawn = np.asarray(make_image(seed=1))
    laid = overlay(IMAGE, MASK, 2, drawn)
    black, soft = np.asarray(MASK) == 0, np.asarray(soften(MASK, 2))
    assert np.array_equal(laid[black], np.asarray(IMAGE)[black])
    assert np.array_equal(laid[soft == 255], drawn[soft == 255])
    between = (soft > 0) & (soft < 255)
    assert between.any()
    share = soft[between][:, None] / 255
    mixed = share * drawn[between] + (1 - share) * np.asarray(IMAGE)[between].astype(float)
    assert np.abs(laid[between] - mixed).max() <= 1


def test_a_grey_mask_is_drawn_from_the_middle_on_and_laid_over_by_its_greys(
    models: Models,
) -> None:
    """As diffusers: 127 is kept in the latents, 128 is drawn; what shows is their share."""
    model = models["sd15"]
    white = draw(model, request(**INPAINT), (encode(IMAGE), encode(Image.new("L", (64, 64), 255))))
    grey = draw(model, request(**INPAINT), (encode(IMAGE), encode(Image.new("L", (64, 64), 128))))
    mixed = (128 * white.astype(float) + 127 * np.asarray(IMAGE, dtype=float)) / 255
    assert np.abs(grey - mixed).max() <= 1
    with pytest.raises(InvalidRequest, match="all black"):
        draw(model, request(**INPAINT), (encode(IMAGE), encode(Image.new("L", (64, 64), 127))))


def test_what_is_transparent_in_an_image_is_its_mask(models: Models) -> None:
    see_through = Image.composite(IMAGE, Image.new("RGB", IMAGE.size, "white"), invert(MASK))
    files = (encode(see_through), encode(MASK))
    masked = draw(models["sd15"], request(**INPAINT), files)
    holes = see_through.copy()
    holes.putalpha(invert(MASK))
    wanted = request(**{**INPAINT, "mask": None})
    assert np.array_equal(draw(models["sd15"], wanted, (encode(holes),)), masked)
    with pytest.raises(InvalidRequest, match="mask is all black"):
        draw(models["sd15"], wanted, (encode(IMAGE),))


def invert(mask: Image.Image) -> Image.Image:
    return mask.point(lambda grey: 255 - grey)


def test_margins_repeat_the_edge_and_reach_into_the_image() -> None:
    image = Image.new("RGB", (4, 4), (1, 2, 3))
    image.putpixel((0, 0), (9, 8, 7))
    canvas = extend(image, (2, 3, 0, 1))
    assert canvas.size == (6, 8)
    assert canvas.getpixel((0, 0)) == canvas.getpixel((2, 3)) == (9, 8, 7)
    mask = np.asarray(margins(4, 4, (2, 3, 0, 1), 1))
    kept = np.zeros((8, 6), dtype=bool)
    kept[3 + 1 : 3 + 4 - 1, 2 + 1 : 6] = True
    assert np.array_equal(mask == 0, kept)


def test_margins_may_swallow_a_small_image() -> None:
    assert np.asarray(margins(4, 4, (8, 0, 8, 0), 8)).min() == 255


def test_margins_that_are_thinner_than_a_cell_are_drawn(models: Models) -> None:
    inner = make_image(63, 64)
    for expand in ((1, 0, 0, 0), (0, 0, 1, 0)):
        wanted = request(**OUTPAINT, expand=expand)
        assert draw(models["sd15"], wanted, (encode(inner),)).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("changes", "files", "message"),
    [
        (INPAINT, (make_image(32, 64), MASK), "image must be 64 x 64 pixels, not 32 x 64"),
        (INPAINT, (IMAGE, make_mask(64, 32)), "mask must be 64 x 64 pixels, not 64 x 32"),
        (INPAINT, (IMAGE, Image.new("L", (64, 64))), "mask is all black: nothing would be drawn"),
        (OUTPAINT, (IMAGE,), "expand adds nothing"),
        (OUTPAINT | {"expand": (64, 0, 0, 0)}, (IMAGE,), "expand leaves nothing"),
        (OUTPAINT | {"expand": (0, 16, 0, 0)}, (IMAGE,), "image must be 64 x 48 pixels"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(
    models: Models, changes: dict[str, Any], files: tuple[Image.Image, ...], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        draw(models["sd15"], request(**changes), [encode(picture) for picture in files])
