"""The same request is the same bytes: alone, beside others, paused, drained and resumed."""

from typing import Any

import numpy as np
import pytest

from inference.engine.engine import Engine
from inference.pipelines.loading import Model
from inference.pipelines.request import SCHEDULERS
from tests.inference.drawn import draw
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.recorder import Recorder, operate, submit, until
from tests.inference.sample_requests import request

MIXED: list[dict[str, Any]] = [
    {
        "seed": number,
        "scheduler": scheduler,
        "steps": 5 + number % 4,
        "guidance": 1.0 if number % 4 == 3 else 5.0,
        "prompt": "a red apple " * (number + 1),
    }
    for number, scheduler in enumerate(SCHEDULERS)
] + [{"seed": 20, "width": 32, "height": 96, "steps": 6}]
FIXED = ["", "8"]


def bytes_of(recorder: Recorder) -> bytes:
    assert recorder.wait().image is not None, recorder.failure
    return recorder.image.tobytes() if recorder.image is not None else b""


def alone(engine: Engine) -> list[bytes]:
    return [bytes_of(submit(engine, **changes)) for changes in MIXED]


def together(engine: Engine) -> list[bytes]:
    """More of them than slots, the later ones urgent: the first are paused."""
    early = [submit(engine, priority=9, **changes) for changes in MIXED[:5]]
    until(lambda: all(len(recorder.steps) > 1 for recorder in early[:4]))
    late = [submit(engine, priority=0, **changes) for changes in MIXED[5:]]
    drawn = [bytes_of(recorder) for recorder in (*early, *late)]
    assert any("paused" in recorder.types for recorder in early)
    return drawn


@pytest.mark.parametrize("rows", FIXED)
def test_neighbours_and_pauses_change_no_byte(make_engine: MakeEngine, rows: str) -> None:
    engine = make_engine(batch_rows=rows, max_running=4, preload="tiny")
    expected = alone(engine)
    assert len(set(expected)) == len(MIXED)
    assert together(engine) == expected


@pytest.mark.parametrize("rows", FIXED)
def test_handed_over_to_another_engine_they_are_the_same(
    make_engine: MakeEngine, rows: str
) -> None:
    first = make_engine(batch_rows=rows, max_running=8, preload="tiny")
    second = make_engine(batch_rows=rows, max_running=3, preload="tiny")
    expected = alone(second)
    under_way = [submit(first, **changes) for changes in MIXED]
    until(lambda: sum(len(recorder.steps) for recorder in under_way) >= 25)
    operate(first, "drain", requests=None)
    for recorder, changes, whole in zip(under_way, MIXED, expected, strict=True):
        blobs = [blob for _, blob in sorted(recorder.wait().checkpoints.items())]
        if recorder.image is not None:
            assert recorder.image.tobytes() == whole
            continue
        resumed = submit(second, files=blobs[-1:], **changes, resume=0 if blobs else None)
        assert bytes_of(resumed) == whole
        steps_before = max(recorder.checkpoints, default=0)
        assert len(resumed.steps) <= changes["steps"] - steps_before
    assert any(recorder.checkpoints for recorder in under_way)


def test_without_batches_the_bytes_are_those_of_plain_calls(
    make_engine: MakeEngine, model: Model
) -> None:
    for drawn, changes in zip(alone(make_engine(preload="tiny")), MIXED, strict=True):
        assert drawn == draw(model, request(**changes)).tobytes()


@pytest.mark.parametrize("rows", ["8", "2,4,8,16"])
def test_with_batches_no_colour_is_further_off_than_one(
    make_engine: MakeEngine, model: Model, rows: str
) -> None:
    engine = make_engine(batch_rows=rows, max_running=8, preload="tiny")
    recorders = [submit(engine, **changes) for changes in MIXED]
    for recorder, changes in zip(recorders, MIXED, strict=True):
        expected = draw(model, request(**changes)).astype(int)
        assert recorder.wait().image is not None
        assert recorder.image is not None
        assert np.abs(recorder.image.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("threads", [1, 2])
def test_in_one_fixed_shape_a_row_does_not_depend_on_its_place_or_mates(
    make_engine: MakeEngine, threads: int
) -> None:
    """The same picture first, in the middle and last in a batch of eight rows, with other mates
    each time."""
    engine = make_engine(batch_rows="8", max_running=8, preload="tiny", threads=threads)
    expected = bytes_of(submit(engine, seed=1, steps=5))
    for place in range(4):
        mates = [submit(engine, seed=100 + 10 * place + n, steps=7) for n in range(place)]
        picture = submit(engine, seed=1, steps=5)
        mates += [submit(engine, seed=200 + n, steps=7, guidance=1.0) for n in range(2)]
        assert bytes_of(picture) == expected
        for mate in mates:
            mate.wait()
