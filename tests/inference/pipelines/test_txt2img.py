"""Pictures out of noise are those of diffusers, however their calls are made."""

from typing import Any

import numpy as np
import pytest

from inference.pipelines.drawing import begin, check_size
from inference.pipelines.request import SCHEDULERS, InvalidRequest
from tests.inference.drawn import draw, finish, step_call, watch
from tests.inference.pipelines.models import Models
from tests.inference.plain import draw_plain
from tests.inference.sample_requests import request

RELATIVE_ERROR = 1e-5
schedulers = pytest.mark.parametrize("scheduler", SCHEDULERS)


def assert_same(models: Models, name: str, **changes: Any) -> None:
    wanted = request(**changes)
    seen = watch(begin(models[name], wanted))
    plain = draw_plain(
        models.folder(name),
        "StableDiffusionPipeline",
        wanted,
        width=wanted.width,
        height=wanted.height,
    )
    error = (seen.latents - plain.latents).abs().max() / plain.latents.abs().max()
    assert float(error) <= RELATIVE_ERROR
    assert np.abs(seen.pixels.astype(int) - plain.pixels.astype(int)).max() <= 1


@schedulers
@pytest.mark.parametrize("steps", [1, 7])
def test_few_and_many_steps_draw_the_picture_of_diffusers(
    models: Models, scheduler: str, steps: int
) -> None:
    assert_same(models, "sd15", scheduler=scheduler, steps=steps)


@schedulers
def test_velocity_models_draw_the_picture_of_diffusers(models: Models, scheduler: str) -> None:
    assert_same(models, "sd15-v", scheduler=scheduler, steps=5)


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
    models: Models, changes: dict[str, Any]
) -> None:
    assert_same(models, "sd15", **changes)


@schedulers
def test_steps_are_counted_as_the_user_asked_for_them(models: Models, scheduler: str) -> None:
    """PNDM calls the UNet once more than it has steps, Heun's second-order method twice a step."""
    unusual = {"pndm": [0, 1, 2, 3, 4, 5], "heun": [0, 1, 1, 2, 2, 3, 3, 4, 5]}
    seen = watch(begin(models["sd15"], request(scheduler=scheduler, steps=5)))
    assert seen.counts == unusual.get(scheduler, [1, 2, 3, 4, 5])


@pytest.mark.parametrize(("guidance", "rows"), [(0.0, 1), (1.0, 1), (1.1, 2)])
def test_only_guidance_costs_a_second_row(models: Models, guidance: float, rows: int) -> None:
    call = step_call(begin(models["sd15"], request(guidance=guidance)))
    assert call is not None and call.rows == rows


def test_pictures_advanced_in_turns_are_those_drawn_alone(models: Models) -> None:
    wanted = [request(scheduler=name, seed=seed) for seed, name in enumerate(SCHEDULERS)]
    pictures = [begin(models["sd15"], one) for one in wanted]
    going = [picture for picture in pictures if picture.advance()]
    while going:
        going = [p for p in going if p.call and p.advance(p.call.run())]
    for picture, one in zip(pictures, wanted, strict=True):
        assert np.array_equal(picture.result, draw(models["sd15"], one))


@schedulers
@pytest.mark.parametrize("at", [1, 5])
def test_a_picture_resumed_at_the_first_and_the_last_call_is_the_same_bytes(
    models: Models, scheduler: str, at: int
) -> None:
    wanted = request(scheduler=scheduler, steps=5)
    picture = begin(models["sd15"], wanted)
    call = picture.advance()
    while call is not None and picture.steps.calls < at:
        call = picture.advance(call.run())
    moment = picture.steps.moment()
    assert moment is not None and moment.calls == at
    whole = finish(picture)
    resumed = begin(models["sd15"], wanted, resume=moment)
    assert finish(resumed).tobytes() == whole.tobytes()
    assert resumed.steps.calls == picture.steps.calls


@pytest.mark.parametrize("changes", [{"width": 60}, {"height": 264}, {"width": 4096}])
def test_a_side_that_the_model_cannot_draw_is_named(
    models: Models, changes: dict[str, int]
) -> None:
    with pytest.raises(InvalidRequest, match=f"{next(iter(changes))} must be a multiple of 8"):
        check_size(models["sd15"], request(**changes))


def test_more_steps_than_the_noise_schedule_has_are_refused(models: Models) -> None:
    with pytest.raises(InvalidRequest, match="steps"):
        begin(models["sd15"], request(scheduler="ddim", steps=1001))
