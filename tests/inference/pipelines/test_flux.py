"""Pictures of Flux models are those of diffusers' Flux pipelines."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from inference.pipelines.adapters import adapt
from inference.pipelines.calls import batch_key
from inference.pipelines.drawing import begin
from inference.pipelines.flux import FLOW, SCHEDULERS
from inference.pipelines.loading import Model, load_model
from inference.pipelines.preview import predict_original, render_preview
from inference.pipelines.request import SCHEDULERS as NAMES
from inference.pipelines.request import InvalidRequest, Lora, Request
from tests.inference.compared import assert_drawn_as, assert_resumes
from tests.inference.drawn import draw, finish_together, step_call, watch
from tests.inference.pipelines.cases import CANVAS, CANVAS_MASK, EXPAND, INNER, MASK, SMALL
from tests.inference.sample_pictures import encode, make_image
from tests.inference.sample_requests import request
from tests.inference.tiny_adapters import save_lora
from tests.inference.tiny_flux import save_tiny_flux

SIDES: dict[str, Any] = {"width": 64, "height": 64}
IMAGE = make_image()
FILES = [encode(IMAGE), encode(MASK), encode(INNER), encode(SMALL)]
ENLARGED = SMALL.resize((64, 64), Image.Resampling.LANCZOS)
LORAS = (Lora("style", 0.7), Lora("lines", -0.4))
CLASSES = {
    "euler": diffusers.FlowMatchEulerDiscreteScheduler,
    "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`dev` is guided and shifts its noise by the picture's size, `schnell` does neither."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("flux")
    save_tiny_flux(folder / "dev")
    save_tiny_flux(folder / "schnell", guided=False)
    model = load_model(folder / "dev", torch.device("cpu"))
    save_lora(model, folder / "style", 1, ["transformer", "text_encoder"])
    save_lora(model, folder / "lines", 2, ["transformer"])
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(folder / "dev", torch.device("cpu"))


def plain(folder: Path, wanted: Request, kind: str = "") -> Any:
    """Diffusers' own pipeline with the request's scheduler and LoRAs."""
    pipeline_class = getattr(diffusers, f"Flux{kind}Pipeline")
    pipeline = pipeline_class.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    changes = {} if wanted.scheduler == "euler" else FLOW
    scheduler = CLASSES[wanted.scheduler]
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **changes)
    for lora in wanted.loras:
        pipeline.load_lora_weights(folder.parent / lora.name, adapter_name=lora.name)
    if wanted.loras:
        names = [lora.name for lora in wanted.loras]
        pipeline.set_adapters(names, [lora.weight for lora in wanted.loras])
    return pipeline


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [*(("dev", name) for name in SCHEDULERS), ("schnell", "euler"), ("schnell", "unipc")],
)
def test_every_scheduler_draws_the_picture_of_diffusers(
    folder: Path, name: str, scheduler: str
) -> None:
    model = load_model(folder / name, torch.device("cpu"))
    wanted = request(scheduler=scheduler, steps=3)
    limit: dict[str, Any] = {"max_sequence_length": 512 if name == "dev" else 256}
    reference = plain(folder / name, wanted)
    assert_drawn_as(reference, model, wanted, (), **SIDES, **limit)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 1},
        {"width": 32, "height": 96},
        {"prompt": ""},
        {"prompt": "(a red apple:1.3) BREAK [and]"},
        {"prompt": "apple " * 60},
    ],
)
def test_every_kind_of_request_draws_the_picture_of_diffusers(
    folder: Path, model: Model, changes: dict[str, Any]
) -> None:
    wanted = request(**{"steps": 2} | changes)
    sides: dict[str, Any] = {"width": wanted.width, "height": wanted.height}
    assert_drawn_as(plain(folder / "dev", wanted), model, wanted, (), **sides)


# Well within the mask, where what was drawn is the picture.
WITHIN = (slice(14, 34), slice(22, 42))
MARGIN = (slice(54, 64), slice(0, 64))
TASKS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "img2img": ("Img2Img", {"image": 0}, {"image": IMAGE}),
    "upscale": ("Img2Img", {"image": 3}, {"image": ENLARGED}),
    "inpaint": ("Inpaint", {"image": 0, "mask": 1}, {"image": IMAGE, "mask_image": MASK}),
    "outpaint": (
        "Inpaint",
        {"image": 2, "expand": EXPAND},
        {"image": CANVAS, "mask_image": CANVAS_MASK},
    ),
}


@pytest.mark.parametrize(("steps", "strength"), [(5, 0.5), (2, 1.0), (3, 0.05)])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_draws_the_picture_of_diffusers(
    folder: Path, model: Model, task: str, steps: int, strength: float
) -> None:
    kind, changes, arguments = TASKS[task]
    wanted = request(task=task, steps=steps, strength=strength, **changes)
    part = {"inpaint": WITHIN, "outpaint": MARGIN}.get(task, (slice(None), slice(None)))
    reference = plain(folder / "dev", wanted, kind)
    assert_drawn_as(
        reference, model, wanted, FILES, part=part, **SIDES, **arguments, strength=strength
    )


@pytest.mark.parametrize(
    ("steps", "strength", "taken"), [(4, 0.5, 2), (5, 0.5, 3), (3, 0.05, 1), (4, 1.0, 4)]
)
def test_steps_are_counted_as_flux_counts_them(
    model: Model, steps: int, strength: float, taken: int
) -> None:
    """Flux takes the step that a strength cuts, where Stable Diffusion leaves it."""
    wanted = request(task="img2img", image=0, steps=steps, strength=strength)
    picture = begin(model, wanted, FILES)
    assert picture.steps.total == taken
    assert watch(picture).counts == list(range(1, taken + 1))


def test_loras_draw_the_picture_of_diffusers(folder: Path, model: Model) -> None:
    wanted = request(loras=LORAS, steps=2)
    adapted = adapt(model, wanted, folder.joinpath)
    drawn = assert_drawn_as(plain(folder / "dev", wanted), adapted, wanted, (), **SIDES)
    assert (drawn != draw(model, request(steps=2))).mean() > 0.5


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_picture_resumed_is_the_same_bytes(model: Model, scheduler: str) -> None:
    assert_resumes(model, request(scheduler=scheduler, steps=4), (), at=2)


@pytest.mark.parametrize("task", TASKS)
def test_a_picture_of_an_image_resumed_is_the_same_bytes(model: Model, task: str) -> None:
    wanted = request(task=task, steps=4, strength=0.8, **TASKS[task][1])
    assert_resumes(model, wanted, FILES, at=2)


def test_pictures_drawn_together_are_those_drawn_alone(folder: Path, model: Model) -> None:
    """Schedulers, steps, guidance, tasks and prompts differ; LoRAs have calls of their own."""
    wanted = [
        request(scheduler="euler", steps=2, guidance=3.5),
        request(scheduler="dpmpp_2m", steps=3, guidance=1.0, prompt="two pears"),
        request(scheduler="unipc", steps=4, seed=3),
        request(task="inpaint", image=0, mask=1, steps=4, strength=0.6),
        request(loras=LORAS, steps=2),
        request(loras=LORAS, steps=3, seed=9),
    ]
    models = [adapt(model, one, folder.joinpath) for one in wanted]
    pictures = [begin(model, one, FILES) for model, one in zip(models, wanted, strict=True)]
    calls = [step_call(picture) for picture in pictures]
    keys = [batch_key(call) for call in calls if call is not None]
    assert keys == [keys[0]] * 4 + [keys[4]] * 2 and keys[0] != keys[4]
    finish_together(pictures, pad_to_rows=8)
    for picture, own, one in zip(pictures, models, wanted, strict=True):
        alone = draw(own, one, FILES)
        assert np.abs(picture.result.astype(int) - alone.astype(int)).max() <= 1


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_last_preview_shows_the_picture(model: Model, scheduler: str) -> None:
    """What the last step implies is what it returns: packed latents come unpacked."""
    wanted = request(scheduler=scheduler, steps=8, width=96, height=32)
    picture = begin(model, wanted)
    latents = watch(picture).latents
    original = predict_original(picture.steps)
    assert latents is not None and original is not None
    config = model.components["vae"].config
    final = (latents - config.shift_factor) * config.scaling_factor
    assert original.shape == final.shape == (1, 4, 8, 24)
    shown, expected = (render_preview(one, model.colours) for one in (original, final))
    assert shown.shape == (8, 24, 3)
    assert np.abs(shown.astype(int) - expected.astype(int)).max() <= 3


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SCHEDULERS)))
def test_schedulers_that_cannot_follow_a_flow_are_refused(model: Model, name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"scheduler: {name} .* euler, dpmpp_2m, unipc can"):
        begin(model, request(scheduler=name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": "unipc", "task": "img2img", "image": 0}, "scheduler: unipc .* euler can"),
        ({"negative_prompt": "blurry"}, "negative_prompt: Flux"),
        ({"clip_skip": 1}, "clip_skip: Flux"),
        ({"width": 72}, "width must be a multiple of 16"),
    ],
)
def test_what_flux_has_no_place_for_is_refused(
    model: Model, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        begin(model, request(**changes), FILES)


def test_half_of_a_character_is_a_character(model: Model) -> None:
    pictures = [draw(model, request(prompt=prompt, steps=1)) for prompt in ("a \ud83c", "a ?")]
    assert np.array_equal(*pictures)


def test_drawing_gives_the_transformer_no_new_attributes(folder: Path) -> None:
    """Another thread may be copying it."""
    model = load_model(folder / "dev", torch.device("cpu"))
    names = [sorted(vars(module)) for module in model.denoiser.modules()]
    draw(model, request(steps=1))
    assert [sorted(vars(module)) for module in model.denoiser.modules()] == names


def test_models_without_a_shift_by_size_do_without_dpm(folder: Path) -> None:
    model = load_model(folder / "schnell", torch.device("cpu"))
    with pytest.raises(InvalidRequest, match="scheduler: dpmpp_2m .* euler, unipc can"):
        begin(model, request(scheduler="dpmpp_2m"))


def test_a_prompt_is_counted_and_bounded_by_what_t5_reads(folder: Path) -> None:
    model = load_model(folder / "schnell", torch.device("cpu"))
    picture = begin(model, request(prompt="a" * 254, steps=1))
    watch(picture)
    assert picture.notes == {"prompt_tokens": 256, "prompt_chunks": 1}
    with pytest.raises(InvalidRequest, match="prompt: 257 tokens, and this model reads 256"):
        watch(begin(model, request(prompt="a" * 255, steps=1)))


def test_a_wide_picture_shares_no_call_with_a_tall_one(model: Model) -> None:
    """They have as many places, but not the same ones."""
    calls = [
        step_call(begin(model, request(steps=2, guidance=1.0, width=width, height=height)))
        for width, height in ((96, 32), (32, 96), (96, 32))
    ]
    keys = [batch_key(call) for call in calls if call is not None]
    assert len(keys) == 3
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]
