"""Wherever the loss of the accelerator shows, the engine ends: CUDA tells of errors late."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.engine.events import Failure
from inference.engine.workers import Worker
from inference.pipelines.loading import LoadError, Model
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.denoisers import load_around, plainly
from tests.inference.engine.recorder import submit

ILLEGAL = "CUDA error: an illegal memory access was encountered"


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError(ILLEGAL)


def in_a_load(_: Path, __: torch.device) -> Model:
    try:
        return broken()  # type: ignore[no-any-return]
    except RuntimeError as error:
        raise LoadError("the weights could not be read") from error


@pytest.mark.parametrize(
    "load", [load_around(broken), load_around(plainly, encode=broken), in_a_load]
)
def test_in_a_call_or_a_load(make_engine: MakeEngine, load: Any) -> None:
    require_end(make_engine, load=load)


@pytest.mark.parametrize(
    "name",
    [
        "inference.engine.engine.begin_picture",
        "inference.engine.engine.require_finite",
        "inference.engine.stepping.batch_key",
    ],
)
def test_on_the_thread_of_the_pictures(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(name, broken)
    require_end(make_engine, batch_rows="4")


@pytest.mark.parametrize("thread", ["engine-steps", "engine-side", "engine-loads"])
def test_in_the_wait_for_the_kernels_of_a_call(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, thread: str
) -> None:
    """The call itself goes well: its kernels have only been launched."""
    real = Worker._run

    def run(self: Worker, work: Callable[[], Any]) -> Any:
        answer = real(self, work)
        return broken() if threading.current_thread().name == thread else answer

    monkeypatch.setattr(Worker, "_run", run)
    require_end(make_engine)


def require_end(make_engine: MakeEngine, **parameters: Any) -> None:
    lost = threading.Event()
    engine = make_engine(lost=lost.set, **parameters)
    recorder = submit(engine, steps=2).wait()
    assert lost.is_set()
    assert recorder.failure is not None and recorder.failure[0] is Failure.UNAVAILABLE
    with pytest.raises(RuntimeError, match="not healthy"):
        submit(engine)
