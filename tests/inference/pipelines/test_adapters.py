"""Pictures under LoRAs, ControlNets, IP-Adapters and all of them are those of plain diffusers."""

from typing import Any

import numpy as np
import pytest
import torch

from inference.pipelines.calls import batch_key
from inference.pipelines.drawing import begin
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
from tests.inference.drawn import draw, finish_together, step_call
from tests.inference.sample_pictures import make_image, make_mask
from tests.inference.sample_requests import request


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def shelf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    torch.set_num_threads(1)
    return Shelf(tmp_path_factory.mktemp(request.param), request.param)


ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"loras": LORAS[:1]},
    "loras": {"loras": LORAS},
    "lora of no weight": {"loras": (Lora("style", 0.0),)},
    "one lora twice": {"loras": (Lora("style", 0.3), Lora("style", 0.4))},
    "control": {"controls": (EDGES,)},
    "control for a while": {"controls": (POSE,)},
    "controls": {"controls": (EDGES, POSE)},
    "image prompt": {"image_prompts": (FACE,)},
    "image prompts": {"image_prompts": (FACE, ImagePrompt("place", 3, 0.3))},
    "all": {"loras": LORAS, "controls": (EDGES, POSE), "image_prompts": (FACE,)},
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_draw_the_picture_of_diffusers(shelf: Shelf, name: str) -> None:
    wanted = request(**ADAPTERS[name], steps=3)
    arguments = expected_arguments(wanted) | {"width": 64, "height": 64, "negative_prompt": None}
    drawn = assert_drawn_as(shelf.plain(wanted), shelf.adapted(wanted), wanted, FILES, **arguments)
    changed = (drawn != draw(shelf.model, request(steps=3))).mean()
    assert changed == 0 if name == "lora of no weight" else changed > 0.5


# Well within the white box of the mask: what was drawn is the picture there.
DRAWN = (slice(12, 36), slice(20, 44))


@pytest.mark.parametrize("name", ["lora", "control", "all"])
def test_adapters_in_an_image_draw_the_picture_of_diffusers(shelf: Shelf, name: str) -> None:
    changes = ADAPTERS[name] | {"image": IMAGE, "strength": 0.6, "steps": 4}
    wanted = request(task="img2img", **changes)
    arguments = expected_arguments(wanted) | {"image": make_image(seed=IMAGE), "strength": 0.6}
    plain = shelf.plain(wanted, "Img2Img")
    assert_drawn_as(plain, shelf.adapted(wanted), wanted, FILES, **arguments)
    wanted = request(task="inpaint", mask=MASK, **changes)
    arguments |= {"mask_image": make_mask(), "width": 64, "height": 64}
    plain = shelf.plain(wanted, "Inpaint")
    assert_drawn_as(plain, shelf.adapted(wanted), wanted, FILES, part=DRAWN, **arguments)


@pytest.mark.parametrize("scheduler", ["euler_a", "heun"])
@pytest.mark.parametrize("task", ["txt2img", "inpaint"])
def test_a_picture_resumed_under_all_adapters_is_the_same_bytes(
    shelf: Shelf, task: str, scheduler: str
) -> None:
    image = {} if task == "txt2img" else {"image": IMAGE, "mask": MASK, "strength": 0.9}
    wanted = request(**ADAPTERS["all"], **image, task=task, scheduler=scheduler, steps=4)
    assert_resumes(shelf.adapted(wanted), wanted, FILES, at=2)


def first_key(shelf: Shelf, name: str) -> Any:
    """What a call of the UNet can be batched with."""
    wanted = request(**ADAPTERS[name])
    call = step_call(begin(shelf.adapted(wanted), wanted, FILES))
    assert call is not None
    return batch_key(call)


def test_only_pictures_with_the_same_weights_share_a_call(shelf: Shelf) -> None:
    """Models are adapted anew for each: what they are called, not which they are, decides."""
    names = ["lora", "loras", "lora of no weight", "image prompt", "image prompts"]
    keys = [first_key(shelf, name) for name in names]
    assert len(set(keys)) == len(names)
    assert keys == [first_key(shelf, name) for name in names]


def test_pictures_of_all_adapters_drawn_together_are_those_drawn_alone(shelf: Shelf) -> None:
    wanted = [
        request(**ADAPTERS[name], seed=seed, steps=2 + seed, guidance=float(2 * seed))
        for name in ("lora", "control", "controls", "all", "control")
        for seed in (1, 2)
    ]
    models = [shelf.adapted(one) for one in wanted]
    pictures = [begin(model, one, FILES) for model, one in zip(models, wanted, strict=True)]
    finish_together(pictures)
    for picture, model, one in zip(pictures, models, wanted, strict=True):
        alone = draw(model, one, FILES)
        assert np.abs(picture.result.astype(int) - alone.astype(int)).max() <= 1


def test_controls_share_the_calls_of_the_model_itself(shelf: Shelf) -> None:
    """A ControlNet changes no weights: its pictures need no UNet of their own."""
    adapted = shelf.adapted(request(controls=(EDGES,)))
    assert adapted.components["unet"] is shelf.model.components["unet"]
    other = shelf.adapted(request(controls=(EDGES, POSE)))
    nets = adapted.components["controlnet"], other.components["controlnet"].nets[0]
    assert nets[0] is nets[1]


def test_a_model_that_gets_nothing_stays_itself(shelf: Shelf) -> None:
    assert shelf.adapted(request()) is shelf.model


def test_a_picture_is_not_drawn_with_a_model_of_other_adapters(shelf: Shelf) -> None:
    wanted = request(loras=LORAS)
    with pytest.raises(ValueError, match="is not adapted"):
        begin(shelf.model, wanted)
    with pytest.raises(ValueError, match="is not adapted"):
        begin(shelf.adapted(wanted), request())
