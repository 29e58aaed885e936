"""Every task of every family with every scheduler is the picture of diffusers' own pipeline."""

from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch

from inference.pipelines.checkpoints import pack, unpack
from inference.pipelines.drawing import begin
from inference.pipelines.picture import Picture
from inference.pipelines.request import SCHEDULERS
from tests.inference.drawn import finish, finish_together, step_call, watch
from tests.inference.pipelines.cases import CASES, Case
from tests.inference.pipelines.models import Models
from tests.inference.plain import draw_plain
from tests.inference.sample_requests import request

RELATIVE_ERROR = 1e-5
SOFT_PIXELS = 2
names = pytest.mark.parametrize("name", CASES)
schedulers = pytest.mark.parametrize("scheduler", SCHEDULERS)


def start(models: Models, case: Case, **changes: Any) -> Picture:
    return begin(models[case.model], request(**case.changes, **changes), case.files)


@names
@schedulers
def test_every_task_draws_the_picture_of_diffusers(
    models: Models, name: str, scheduler: str
) -> None:
    case = CASES[name]
    changes = {"scheduler": scheduler, "steps": 4, "negative_prompt": "blurry"}
    wanted = request(**case.changes, **changes)
    plain = draw_plain(models.folder(case.model), case.class_name, wanted, **case.plain)
    picture = start(models, case, **changes)
    seen = watch(picture)
    error = (seen.latents - plain.latents).abs().max() / plain.latents.abs().max()
    assert float(error) <= RELATIVE_ERROR
    assert_pixels(case, seen.pixels, plain.pixels)
    assert_progress(seen.counts, int(4 * case.changes.get("strength", 1.0)))
    assert picture.steps.total == seen.counts[-1]


def assert_pixels(case: Case, pixels: Any, plain: Any) -> None:
    drawn, kept = parts(case)
    difference = np.abs(pixels.astype(int) - plain.astype(int))
    assert pixels.shape == plain.shape == (64, 64, 3)
    assert difference[drawn].max() <= 1
    if case.kept is not None:
        assert np.array_equal(pixels[kept], np.asarray(case.kept)[kept])
        assert difference[kept].max() > 1


def assert_progress(counts: list[int], total: int) -> None:
    """Every step is told, in order, the last at the end."""
    assert counts == sorted(counts)
    assert set(counts) | {0} == set(range(total + 1))


def parts(case: Case) -> tuple[Any, Any]:
    """Where a picture is what was drawn, and where it is the image; between them: a soft edge."""
    if case.mask is None:
        return np.ones((64, 64), dtype=bool), np.zeros((64, 64), dtype=bool)
    white = np.asarray(case.mask) == 255
    near = np.pad(white, SOFT_PIXELS, mode="edge")
    inside = [
        near[y : y + 64, x : x + 64]
        for y in range(2 * SOFT_PIXELS + 1)
        for x in range(2 * SOFT_PIXELS + 1)
    ]
    return np.all(inside, axis=0), ~white


@names
@schedulers
def test_a_picture_resumed_in_the_middle_is_the_same_bytes(
    models: Models, name: str, scheduler: str
) -> None:
    case = CASES[name]
    picture = start(models, case, scheduler=scheduler, steps=5)
    call = step_call(picture)
    while call is not None and picture.steps.calls < 2:
        picture.advance(call.run())
        call = step_call(picture)
    moment = picture.steps.moment()
    assert moment is not None and moment.calls == 2 and not picture.is_finished
    saved = unpack(pack(moment, "it"), "it", torch.device("cpu"))
    whole = finish(picture)
    wanted = request(**case.changes, scheduler=scheduler, steps=5)
    resumed = begin(models[case.model], wanted, case.files, resume=saved)
    assert finish(resumed).tobytes() == whole.tobytes()


@pytest.mark.parametrize("model", sorted({case.model for case in CASES.values()}))
def test_pictures_that_share_calls_are_those_drawn_alone(models: Models, model: str) -> None:
    """All tasks, schedulers, steps, guidance and seeds of a model in one batch, and empty rows."""
    cases = cycle(case for case in CASES.values() if case.model == model)
    wanted: list[tuple[Case, dict[str, Any]]] = [
        (case, {"scheduler": scheduler, "seed": seed, "steps": 2 + seed % 3, "guidance": seed % 4})
        for seed, (scheduler, case) in enumerate(zip(SCHEDULERS, cases, strict=False))
    ]
    together = [start(models, case, **changes) for case, changes in wanted]
    shared = finish_together(together, pad_to_rows=20)
    assert shared[0] == len(SCHEDULERS)
    for picture, (case, changes) in zip(together, wanted, strict=True):
        alone = finish(start(models, case, **changes))
        assert np.abs(picture.result.astype(int) - alone.astype(int)).max() <= 1
