"""Adapters in other spellings, precisions and kinds, on other models of their base."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.pipelines.adapters import adapt
from inference.pipelines.drawing import begin
from inference.pipelines.loading import load_model
from inference.pipelines.request import ImagePrompt, Lora
from tests.inference.adapter_shelf import (
    EDGES,
    FACE,
    FILES,
    IMAGE,
    LORAS,
    MASK,
    POSE,
    Shelf,
    expected_arguments,
)
from tests.inference.compared import assert_drawn_as, assert_resumes
from tests.inference.drawn import draw, finish
from tests.inference.pipelines.models import Models
from tests.inference.sample_pictures import encode, make_image
from tests.inference.sample_requests import request
from tests.inference.tiny_adapters import RANK, save_ip_adapter, save_kohya_lora, save_lora

SIDES: dict[str, Any] = {"width": 64, "height": 64}
EVERYTHING: dict[str, Any] = {
    "loras": LORAS,
    "controls": (EDGES, POSE),
    "image_prompts": (FACE,),
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    torch.set_num_threads(1)
    shelf = Shelf(tmp_path_factory.mktemp("kinds"), "sd15")
    save_kohya_lora(shelf.folder / "kohya", shelf.folder / "style", alpha=RANK / 2)
    save_lora(shelf.model, shelf.folder / "half", 9, ["unet", "text_encoder"], torch.float16)
    save_ip_adapter(shelf.model, shelf.folder / "plus", 10, plus=True)
    return shelf


def test_kohyas_spelling_and_scale(shelf: Shelf) -> None:
    wanted = request(loras=(Lora("kohya", 0.7),), steps=2)
    drawn = assert_drawn_as(shelf.plain(wanted), shelf.adapted(wanted), wanted, (), **SIDES)
    same = request(loras=(Lora("style", 0.35),), steps=2)
    other = draw(shelf.adapted(same), same)
    assert np.abs(drawn.astype(int) - other.astype(int)).max() <= 1


def test_a_lora_in_half_precision_computes_in_the_models(shelf: Shelf) -> None:
    wanted = request(loras=(Lora("half", 0.7),), steps=2)
    adapted = shelf.adapted(wanted)
    assert_drawn_as(shelf.plain(wanted), adapted, wanted, (), **SIDES)
    weights = adapted.components["unet"].parameters()
    assert {weight.dtype for weight in weights} == {torch.float32}


def test_an_image_prompt_that_reads_hidden_states(shelf: Shelf) -> None:
    prompts = (ImagePrompt("plus", 1, 0.6), FACE)
    wanted = request(image_prompts=prompts, steps=2)
    arguments = expected_arguments(wanted) | SIDES
    plain = shelf.plain(wanted)
    drawn = assert_drawn_as(plain, shelf.adapted(wanted), wanted, FILES, **arguments)
    assert (drawn != draw(shelf.model, request(steps=2))).mean() > 0.5


def test_everything_computes_in_the_precision_of_the_model(shelf: Shelf) -> None:
    """As on an accelerator, where weights have 16 bits."""
    model = load_model(shelf.folder / "base", torch.device("cpu"), torch.bfloat16)
    wanted = request(**EVERYTHING, tiling=True, steps=2)
    adapted = adapt(model, wanted, shelf.folder.joinpath)
    names = ("unet", "text_encoder", "vae", "image_encoder", "controlnet")
    for name in names:
        weights = adapted.components[name].parameters()
        assert {weight.dtype for weight in weights} == {torch.bfloat16}
    coarse, fine = draw(adapted, wanted, FILES), draw(shelf.adapted(wanted), wanted, FILES)
    assert 0 < np.abs(coarse.astype(int) - fine.astype(int)).mean() < 3


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_models_that_take_the_mask_take_adapters_too(
    shelf: Shelf, models: Models, tmp_path: Path, family: str
) -> None:
    own = shelf if family == "sd15" else Shelf(tmp_path, family)
    model = models[f"{family}-inpainting"]
    wanted = request(**EVERYTHING, task="inpaint", image=IMAGE, mask=MASK, strength=0.8, steps=4)
    adapted = adapt(model, wanted, own.folder.joinpath)
    bare = request(task="inpaint", image=IMAGE, mask=MASK, strength=0.8, steps=4)
    drawn, plain = draw(adapted, wanted, FILES), draw(model, bare, FILES)
    assert (drawn != plain)[20:36, 24:40].mean() > 0.5
    assert_resumes(adapted, wanted, FILES, at=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "outpaint", "image": IMAGE, "expand": (32, 0, 0, 0), "width": 96},
        {"task": "upscale", "image": IMAGE, "width": 128, "height": 128},
    ],
)
def test_controls_have_the_sides_of_what_is_drawn(shelf: Shelf, changes: dict[str, Any]) -> None:
    wanted = request(controls=(EDGES,), steps=3, **changes)
    files = [encode(make_image(wanted.width, wanted.height)), *FILES[1:]]
    picture = begin(shelf.adapted(wanted), wanted, files)
    assert finish(picture).shape == (wanted.height, wanted.width, 3)
