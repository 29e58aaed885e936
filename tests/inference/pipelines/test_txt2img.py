"""Our pictures are those of diffusers' own StableDiffusionPipeline."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from inference.pipelines import txt2img
from inference.pipelines.loading import Pipeline, load_pipeline
from inference.pipelines.request import SCHEDULERS, InvalidRequest, Request
from inference.pipelines.schedulers import make_scheduler
from tests.inference.sample_requests import request

RELATIVE_ERROR = 1e-5


def load_reference(folder: Path) -> Any:
    reference: Any = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    reference.set_progress_bar_config(disable=True)
    return reference


@pytest.fixture(scope="module")
def reference(models_dir: Path) -> Any:
    return load_reference(models_dir / "tiny")


def draw_reference(reference: Any, wanted: Request, output: str) -> Any:
    reference.scheduler = make_scheduler(wanted.scheduler, reference.scheduler.config)
    return reference(
        wanted.prompt,
        negative_prompt=wanted.negative_prompt,
        width=wanted.width,
        height=wanted.height,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance,
        generator=torch.Generator().manual_seed(wanted.seed),
        output_type=output,
    ).images


def denoise(pipeline: Pipeline, wanted: Request) -> txt2img.Denoising:
    state = txt2img.begin(pipeline, wanted)
    while not state.is_finished:
        txt2img.advance(state)
    return state


def assert_same(pipeline: Pipeline, reference: Any, wanted: Request) -> None:
    state = denoise(pipeline, wanted)
    latents = draw_reference(reference, wanted, "latent")
    error = (state.latents - latents).abs().max() / latents.abs().max()
    assert float(error) <= RELATIVE_ERROR
    pixels = (draw_reference(reference, wanted, "np")[0] * 255).round().astype(int)
    assert np.abs(txt2img.decode(state).astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_scheduler_draws_the_picture_of_diffusers(
    pipeline: Pipeline, reference: Any, scheduler: str, steps: int
) -> None:
    assert_same(pipeline, reference, request(scheduler=scheduler, steps=steps))


@pytest.mark.parametrize(
    "changes",
    [
        {"guidance": 1.0},
        {"guidance": 0.0},
        {"negative_prompt": "blurry"},
        {"width": 96, "height": 32},
        {"prompt": "apple " * 200},
        {"prompt": ""},
        {"prompt": "ein Apfel \u00e9 \u65e5\u672c \U0001f34e"},
        {"seed": 2**32 - 1},
    ],
)
def test_every_kind_of_request_draws_the_picture_of_diffusers(
    pipeline: Pipeline, reference: Any, changes: dict[str, Any]
) -> None:
    assert_same(pipeline, reference, request(**changes))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_velocity_models_draw_the_picture_of_diffusers(models_dir: Path, scheduler: str) -> None:
    folder = models_dir / "tiny-v"
    pipeline = load_pipeline(folder, torch.device("cpu"))
    assert_same(pipeline, load_reference(folder), request(scheduler=scheduler, steps=5))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_steps_are_counted_as_the_user_asked_for_them(pipeline: Pipeline, scheduler: str) -> None:
    """PNDM calls the UNet once more than it has steps, Heun's second-order method twice a step."""
    unusual = {"pndm": [0, 1, 2, 3, 4, 5], "heun": [0, 1, 1, 2, 2, 3, 3, 4, 5]}
    state = txt2img.begin(pipeline, request(scheduler=scheduler, steps=5))
    counts = []
    while not state.is_finished:
        txt2img.advance(state)
        counts.append(state.steps_done)
    assert counts == unusual.get(scheduler, [1, 2, 3, 4, 5])


@pytest.mark.parametrize(("guidance", "rows"), [(0.0, 1), (1.0, 1), (1.1, 2)])
def test_only_guidance_costs_a_second_row(pipeline: Pipeline, guidance: float, rows: int) -> None:
    assert len(txt2img.begin(pipeline, request(guidance=guidance)).embeddings) == rows


def test_pictures_advanced_in_turns_are_those_drawn_alone(pipeline: Pipeline) -> None:
    wanted = [request(scheduler=name, seed=seed) for seed, name in enumerate(SCHEDULERS)]
    states = [txt2img.begin(pipeline, one) for one in wanted]
    while not all(state.is_finished for state in states):
        for state in states:
            if not state.is_finished:
                txt2img.advance(state)
    for state, one in zip(states, wanted, strict=True):
        assert np.array_equal(txt2img.decode(state), txt2img.decode(denoise(pipeline, one)))


@pytest.mark.parametrize("changes", [{"width": 60}, {"height": 264}, {"width": 4096}])
def test_a_side_that_the_model_cannot_draw_is_named(
    pipeline: Pipeline, changes: dict[str, int]
) -> None:
    with pytest.raises(InvalidRequest, match=f"{next(iter(changes))} must be a multiple of 8"):
        txt2img.check_size(pipeline, request(**changes))


def test_more_steps_than_the_noise_schedule_has_are_refused(pipeline: Pipeline) -> None:
    with pytest.raises(InvalidRequest, match="steps"):
        txt2img.begin(pipeline, request(scheduler="ddim", steps=1001))
