"""What cannot be computed fails alone: its batch mates go on, byte for byte."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.engine.events import Failure
from inference.pipelines.loading import Model, load_model
from tests.inference.drawn import draw
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.denoisers import MARKED_STEPS, load_around, marked_rows
from tests.inference.engine.recorder import Recorder, submit
from tests.inference.sample_requests import request

BATCHES = ["", "8"]


def poison(real: Any, sample: torch.Tensor, timestep: torch.Tensor, *args: Any, **kw: Any) -> Any:
    if marked_rows(timestep).any():
        raise ValueError("these numbers are poison\nand this line is not for everybody")
    return real(sample, timestep, *args, **kw)


def not_a_number(real: Any, sample: Any, timestep: torch.Tensor, *args: Any, **kw: Any) -> Any:
    (answer,) = real(sample, timestep, *args, **kw)
    marked = marked_rows(timestep).expand(len(answer))
    answer[marked] = float("nan")
    return (answer,)


def run_beside_others(
    make_engine: MakeEngine, around: Any, rows: str
) -> tuple[Recorder, list[Recorder], Any]:
    """A marked picture between others; the same others on an engine where nothing is wrong."""
    wanted: list[dict[str, Any]] = [{"seed": n, "steps": 4 + n} for n in range(3)]
    engine = make_engine(load=load_around(around), batch_rows=rows, preload="tiny")
    others = [submit(engine, **wanted[0])]
    marked = submit(engine, seed=99, steps=MARKED_STEPS)
    others += [submit(engine, **changes) for changes in wanted[1:]]
    sound = make_engine(batch_rows=rows, preload="tiny")
    for recorder, changes in zip(others, wanted, strict=True):
        undisturbed = submit(sound, **changes).wait()
        assert recorder.wait().image is not None and undisturbed.image is not None
        assert recorder.image is not None
        assert recorder.image.tobytes() == undisturbed.image.tobytes()
    return marked.wait(), others, engine


@pytest.mark.parametrize("rows", BATCHES)
def test_a_picture_that_cannot_be_computed_fails_alone(make_engine: MakeEngine, rows: str) -> None:
    marked, _, engine = run_beside_others(make_engine, poison, rows)
    words = "the picture failed: ValueError: these numbers are poison"
    assert marked.failure == (Failure.INTERNAL, words)
    assert marked.steps == [1]
    assert submit(engine, steps=1).wait().image is not None


@pytest.mark.parametrize("rows", BATCHES)
def test_numbers_that_leave_their_range_fail_their_picture(
    make_engine: MakeEngine, rows: str
) -> None:
    marked, _, _ = run_beside_others(make_engine, not_a_number, rows)
    assert marked.failure is not None
    assert marked.failure[0] is Failure.INTERNAL
    assert "not finite numbers" in marked.failure[1]


def test_a_batch_without_memory_is_repeated_one_by_one(
    make_engine: MakeEngine, model: Model
) -> None:
    def narrow(real: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if len(sample) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(sample, *args, **kwargs)

    engine = make_engine(load=load_around(narrow), batch_rows="2,4,8", preload="tiny")
    recorders = [submit(engine, seed=seed, steps=6) for seed in range(3)]
    for seed, recorder in enumerate(recorders):
        assert recorder.wait().image is not None
        alone = draw(model, request(seed=seed, steps=6))
        assert recorder.image is not None and recorder.image.tobytes() == alone.tobytes()
    isolations = engine.metrics.registry.get_sample_value("easel_engine_isolations_total")
    assert isolations is not None and isolations > 0


def test_a_picture_that_has_too_little_memory_once_is_made_in_the_second_try(
    make_engine: MakeEngine,
) -> None:
    failures = iter([RuntimeError("DefaultCPUAllocator: can't allocate memory")])

    def once(real: Any, *args: Any, **kwargs: Any) -> Any:
        error = next(failures, None)
        if error is not None:
            raise error
        return real(*args, **kwargs)

    engine = make_engine(load=load_around(once))
    assert submit(engine, steps=2).wait().image is not None


def test_a_lost_accelerator_ends_the_engine(make_engine: MakeEngine) -> None:
    lost = threading.Event()

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    engine = make_engine(load=load_around(broken), lost=lost.set)
    recorder = submit(engine, steps=2).wait()
    assert lost.is_set()
    assert recorder.failure is not None and recorder.failure[0] is Failure.UNAVAILABLE
    with pytest.raises(RuntimeError, match="not healthy"):
        submit(engine)


def test_colours_that_are_no_numbers_are_not_delivered(make_engine: MakeEngine) -> None:
    """The latents are finite: only the decoder overflows."""

    def load(folder: Path, device: torch.device) -> Model:
        model = load_model(folder, device)
        model.components["vae"].decoder.conv_out.bias.fill_(float("nan"))
        return model

    failed = submit(make_engine(load=load)).wait()
    assert failed.image is None
    assert failed.failure is not None
    assert failed.failure[0] is Failure.INTERNAL
    assert "not finite" in failed.failure[1]
