"""Our pictures are those of diffusers' own StableDiffusionPipeline."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from inference.pipelines.calls import Call, Kind, batch_key, run_together
from inference.pipelines.drawing import begin, check_size
from inference.pipelines.loading import Model, load_model
from inference.pipelines.picture import Picture
from inference.pipelines.request import SCHEDULERS, InvalidRequest, Request
from inference.pipelines.schedulers import make_scheduler
from tests.inference.drawn import draw, finish
from tests.inference.sample_requests import request

RELATIVE_ERROR = 1e-5


def load_reference(folder: Path) -> Any:
    reference: Any = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    reference.set_progress_bar_config(disable=True)
    reference.original = dict(reference.scheduler.config)
    return reference


@pytest.fixture(scope="module")
def reference(models_dir: Path) -> Any:
    return load_reference(models_dir / "tiny")


def draw_reference(reference: Any, wanted: Request, output: str) -> Any:
    reference.scheduler = make_scheduler(wanted.scheduler, reference.original)
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


def assert_same(model: Model, reference: Any, wanted: Request) -> None:
    picture = begin(model, wanted)
    pixels = finish(picture)
    latents = draw_reference(reference, wanted, "latent")
    moment = picture.steps.moment()
    assert moment is not None
    error = (moment.sample - latents).abs().max() / latents.abs().max()
    assert float(error) <= RELATIVE_ERROR
    expected = (draw_reference(reference, wanted, "np")[0] * 255).round().astype(int)
    assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 7])
def test_every_scheduler_draws_the_picture_of_diffusers(
    model: Model, reference: Any, scheduler: str, steps: int
) -> None:
    assert_same(model, reference, request(scheduler=scheduler, steps=steps))


@pytest.mark.parametrize(
    "changes",
    [
        {"guidance": 1.0},
        {"guidance": 0.0},
        {"negative_prompt": "blurry"},
        {"width": 96, "height": 32},
        {"prompt": ""},
        {"prompt": "ein Apfel \u00e9 \u65e5\u672c \U0001f34e"},
        {"seed": 2**32 - 1},
    ],
)
def test_every_kind_of_request_draws_the_picture_of_diffusers(
    model: Model, reference: Any, changes: dict[str, Any]
) -> None:
    assert_same(model, reference, request(**changes))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_velocity_models_draw_the_picture_of_diffusers(models_dir: Path, scheduler: str) -> None:
    folder = models_dir / "tiny-v"
    model = load_model(folder, torch.device("cpu"))
    assert_same(model, load_reference(folder), request(scheduler=scheduler, steps=5))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_steps_are_counted_as_the_user_asked_for_them(model: Model, scheduler: str) -> None:
    """PNDM calls the UNet once more than it has steps, Heun's second-order method twice a step."""
    unusual = {"pndm": [0, 1, 2, 3, 4, 5], "heun": [0, 1, 1, 2, 2, 3, 3, 4, 5]}
    picture = begin(model, request(scheduler=scheduler, steps=5))
    counts = []
    call = picture.advance()
    while call is not None:
        before = picture.steps.calls
        call = picture.advance(call.run())
        if picture.steps.calls > before:
            counts.append(picture.steps.done)
    assert counts == unusual.get(scheduler, [1, 2, 3, 4, 5])


@pytest.mark.parametrize(("guidance", "rows"), [(0.0, 1), (1.0, 1), (1.1, 2)])
def test_only_guidance_costs_a_second_row(model: Model, guidance: float, rows: int) -> None:
    assert step_call(begin(model, request(guidance=guidance))).rows == rows


def step_call(picture: Picture) -> Call:
    """The first call of the denoiser."""
    call = picture.advance()
    while call is not None and call.kind is not Kind.STEP:
        call = picture.advance(call.run())
    assert call is not None
    return call


def test_pictures_advanced_in_turns_are_those_drawn_alone(model: Model) -> None:
    wanted = [request(scheduler=name, seed=seed) for seed, name in enumerate(SCHEDULERS)]
    pictures = [begin(model, one) for one in wanted]
    going = [picture for picture in pictures if picture.advance()]
    while going:
        going = [p for p in going if p.call and p.advance(p.call.run())]
    for picture, one in zip(pictures, wanted, strict=True):
        assert np.array_equal(picture.result, draw(model, one))


def test_pictures_advanced_in_one_batch_are_those_of_diffusers(model: Model) -> None:
    """Different schedulers, steps, guidance and seeds share every call of the denoiser."""
    wanted = [
        request(scheduler=name, seed=seed, steps=3 + seed, guidance=float(seed))
        for seed, name in enumerate(SCHEDULERS)
    ]
    pictures = [begin(model, one) for one in wanted]
    calls = {number: step_call(picture) for number, picture in enumerate(pictures)}
    while calls:
        assert len({batch_key(call) for call in calls.values()}) == 1
        answers = run_together(list(calls.values()), pad_to_rows=20)
        for number, answer in zip(list(calls), answers, strict=True):
            call = pictures[number].advance(answer)
            if call is None or call.kind is Kind.SIDE:
                finish(pictures[number])
                del calls[number]
            else:
                calls[number] = call
    for picture, one in zip(pictures, wanted, strict=True):
        assert np.abs(picture.result.astype(int) - draw(model, one).astype(int)).max() <= 1


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_picture_resumed_at_any_call_is_the_same_bytes(
    model: Model, scheduler: str, at: int
) -> None:
    wanted = request(scheduler=scheduler, steps=5)
    picture = begin(model, wanted)
    call = picture.advance()
    while call is not None and picture.steps.calls < at:
        call = picture.advance(call.run())
    moment = picture.steps.moment()
    assert moment is not None and moment.calls == at
    whole = finish(picture) if call is not None else picture.result
    resumed = begin(model, wanted, resume=moment)
    assert finish(resumed).tobytes() == whole.tobytes()
    assert resumed.steps.calls == picture.steps.calls


@pytest.mark.parametrize("changes", [{"width": 60}, {"height": 264}, {"width": 4096}])
def test_a_side_that_the_model_cannot_draw_is_named(model: Model, changes: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match=f"{next(iter(changes))} must be a multiple of 8"):
        check_size(model, request(**changes))


def test_more_steps_than_the_noise_schedule_has_are_refused(model: Model) -> None:
    with pytest.raises(InvalidRequest, match="steps"):
        begin(model, request(scheduler="ddim", steps=1001))
