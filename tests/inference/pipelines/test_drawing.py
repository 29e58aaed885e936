"""What is refused before a step, and what no picture changes."""

from typing import Any

import numpy as np
import pytest
import torch

from inference.pipelines.drawing import begin
from inference.pipelines.loading import load_model
from inference.pipelines.request import InvalidRequest
from tests.inference.drawn import draw, watch
from tests.inference.pipelines.cases import CASES
from tests.inference.pipelines.models import Models
from tests.inference.sample_pictures import encode, make_image
from tests.inference.sample_requests import request

PICTURE = encode(make_image())


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("sd15", {"task": "img2img"}, "image is missing"),
        ("sd15", {"task": "upscale"}, "image is missing"),
        ("sd15", {"task": "outpaint", "expand": (8, 0, 0, 0)}, "image is missing"),
        ("sd15", {"task": "img2img", "image": 3}, "image: there is no file 3, only 1 came along"),
        ("sd15", {"task": "inpaint", "image": 0, "mask": 1}, "mask: there is no file 1"),
        ("sd15", {"task": "txt2img", "image": 0}, "image is nothing that txt2img takes"),
        ("sd15", {"task": "img2img", "image": 0, "mask": 0}, "mask is nothing that img2img takes"),
        ("sdxl", {"expand": (8, 0, 0, 0)}, "expand is nothing that txt2img takes"),
        ("sd15-inpainting", {}, "task: this model does inpaint, outpaint, not txt2img"),
        ("sdxl-inpainting", {"task": "img2img"}, "task: this model does inpaint, outpaint, not"),
        ("x4", {"task": "inpaint"}, "task: this model does upscale, not inpaint"),
        (
            "sd15",
            {"task": "img2img", "image": 0, "strength": 0.2, "steps": 4},
            "strength: 0.2 of 4 steps is less than one step",
        ),
        ("sdxl", {"width": 60}, "width must be a multiple of 8"),
        ("sdxl", {"width": 264}, "width must be .* at most 256 pixels"),
        ("sdxl", {"clip_skip": 2}, "clip_skip: this model can skip 1 layers, not 2"),
        ("sd15", {"clip_skip": 3}, "clip_skip: this model can skip 2 layers, not 3"),
    ],
)
def test_a_request_that_a_model_cannot_serve_is_refused_before_a_step(
    models: Models, model: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        begin(models[model], request(**changes), [PICTURE]).advance()


@pytest.mark.parametrize(
    ("model", "sides", "message"),
    [
        ("sd15", (64, 32), "must be 2 or 3 or 4 times .* 64 x 32 pixels, not 64 x 64"),
        ("sd15", (64, 64), "must be 2 or 3 or 4 times"),
        ("sd15", (8, 8), "must be 2 or 3 or 4 times"),
        ("x4", (32, 32), "must be 4 times .* 32 x 32 pixels, not 64 x 64"),
    ],
)
def test_an_upscaled_picture_has_a_whole_multiple_of_the_sides(
    models: Models, model: str, sides: tuple[int, int], message: str
) -> None:
    wanted = request(task="upscale", image=0)
    with pytest.raises(InvalidRequest, match=message):
        draw(models[model], wanted, [encode(make_image(*sides))])


def test_the_upscaler_rounds_no_sides_off(models: Models) -> None:
    wanted = request(task="upscale", image=0, width=72, height=64)
    with pytest.raises(InvalidRequest, match="image must have sides that are multiples of 4"):
        draw(models["x4"], wanted, [encode(make_image(18, 16))])


def test_steps_with_a_strength_are_counted_as_diffusers_counts(models: Models) -> None:
    """100 * 0.29 is 28.999... in floating point, and its integer part 28."""
    for steps, strength, total in [(100, 0.29, 28), (20, 0.35, 7), (10, 0.7, 7), (3, 1.0, 3)]:
        wanted = request(task="img2img", image=0, steps=steps, strength=strength)
        assert begin(models["sd15"], wanted, [PICTURE]).steps.total == total


@pytest.mark.parametrize("model", ["sd15", "sd15-inpainting", "sdxl", "sdxl-inpainting", "x4"])
def test_no_picture_changes_what_pictures_share(models: Models, model: str) -> None:
    """Weights, configurations, precision, hooks and attributes of every part stay."""
    draw_all(models, model)  # transformers hooks its layers when hidden states are first asked for
    parts = models[model].components
    before = {name: state_of(part) for name, part in parts.items() if part is not None}
    draw_all(models, model)
    for name, state in before.items():
        assert state_of(parts[name]) == state


def draw_all(models: Models, model: str) -> None:
    for case in CASES.values():
        if case.model == model:
            for changes in ({"clip_skip": 1}, {"prompt": "(an apple:1.4) " * 30}):
                draw(models[model], request(**case.changes, **changes, steps=2), case.files)


def state_of(part: Any) -> Any:
    if not isinstance(part, torch.nn.Module):
        return {name: repr(value) for name, value in vars(part).items() if name != "_tokenizer"}
    return {
        name: (
            type(module).__name__,
            {key: id(value) for key, value in module._parameters.items()},
            {key: getattr(value, "_version", None) for key, value in module._parameters.items()},
            repr(getattr(module, "config", None)),
            len(module._forward_pre_hooks) + len(module._forward_hooks),
            sorted(vars(module)),
        )
        for name, module in part.named_modules()
    }


def test_half_precision_takes_the_vae_in_full(models: Models) -> None:
    """As on an accelerator: diffusers would take SDXL's VAE to FP32 and back in place."""
    half = load_model(models.folder("sdxl"), torch.device("cpu"), torch.float16)
    vae = half.components["vae"]
    assert half.denoiser.dtype == torch.float16
    for name in ("sdxl-txt2img", "sdxl-img2img", "sdxl-inpaint"):
        case = CASES[name]
        wanted = request(**case.changes)
        seen = watch(begin(half, wanted, case.files))
        assert (vae.dtype, seen.latents.dtype) == (torch.float32, torch.float16)
        full = draw(models["sdxl"], wanted, case.files).astype(int)
        assert np.abs(seen.pixels.astype(int) - full).mean() < 2
