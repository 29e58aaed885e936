"""Folders that go away and models that have to leave cost only whom they concern."""

import gc
import shutil
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from inference.engine.admission import Admission
from inference.engine.engine import Engine
from inference.engine.events import Failure
from inference.engine.jobs import Job, Jobs
from inference.engine.memory import MIB, bytes_together
from inference.engine.metrics import EngineMetrics
from inference.engine.settings import read_settings
from inference.engine.shelf import ADAPTED_KEPT, Shelf, Wanted, wanted
from inference.engine.workers import Worker
from inference.pipelines.loading import Model, load_model
from inference.pipelines.request import Request
from tests.inference.adapter_shelf import LORAS
from tests.inference.adapter_shelf import Shelf as AdapterShelf
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.recorder import Recorder, operate, submit, until
from tests.inference.sample_requests import request
from tests.inference.tiny_pipeline import save_tiny_pipeline

CPU = torch.device("cpu")


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Models `a`, `b` and `c`."""
    save_tiny_pipeline(tmp_path / "a")
    for name in ("b", "c"):
        shutil.copytree(tmp_path / "a", tmp_path / name)
    return tmp_path


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def cut_short(folder: Path) -> None:
    """A file that is being written."""
    next((folder / "unet").glob("*.safetensors")).write_bytes(b"\0\0")


@pytest.mark.parametrize(("change", "failure"), [(remove, "INVALID_ARG"), (cut_short, "INTERNAL")])
def test_a_folder_that_changes_fails_only_who_waits_for_it(
    make_engine: MakeEngine, three: Path, change: Callable[[Path], None], failure: str
) -> None:
    gate = Event()

    def load(folder: Path, device: torch.device) -> Model:
        if folder.name == "b":
            gate.wait()
        return load_model(folder, device)

    engine: Engine = make_engine(load=load, models_dir=three, preload="a", max_running=4)
    running, loading = submit(engine, model="a", steps=100), submit(engine, model="b")
    until(lambda: bool(running.steps))
    waiting = submit(engine, model="c")
    until(lambda: operate(engine, "stats").events[-1]["waiting"] == 2)
    change(three / "c")
    gate.set()
    assert waiting.wait().failure is not None and waiting.failure is not None
    assert waiting.failure[0] == Failure(failure)
    assert loading.wait().image is not None
    assert running.wait().image is not None


def test_a_load_that_is_asked_for_fails_alone(make_engine: MakeEngine, three: Path) -> None:
    engine = make_engine(models_dir=three)
    cut_short(three / "b")
    failed = operate(engine, "load", model="b")
    assert failed.failure is not None
    assert submit(engine, model="a", steps=1).wait().image is not None


def test_a_model_stays_while_something_is_added_to_it(tmp_path: Path) -> None:
    """However tight memory is: what comes of it needs its base."""
    folder = AdapterShelf(tmp_path, "sd15").folder
    shutil.copytree(folder / "base", folder / "other")
    settings = read_settings(folder, {"models_dir": str(folder), "threads": "1"}, {})
    jobs, shelf = Jobs(EngineMetrics(), ageing_seconds=10), Shelf(settings, CPU)
    orders: list[Any] = []
    loader = Worker("loads", 1, CPU, orders.append)
    admission = Admission(jobs, shelf, loader, settings, budget=1000 * MIB)
    for name in ("base", "other"):
        what, load = shelf.loading(name)
        admission.loaded(what, load())
    with_lora = add_job(jobs, request(model="base", loras=LORAS[:1]))
    admission.load_next()
    assert shelf.is_loading == wanted(with_lora.request)
    other = add_job(jobs, request(model="other"))
    admission.equip(other)
    assert other.needs is not None
    own = shelf.bytes_in_use({"other"})
    admission.budget = own + bytes_together([other.needs], settings.batch_rows)
    admission.choose()
    assert Wanted("base", None) in shelf.entries
    until(lambda: bool(orders))
    orders.pop()()
    assert wanted(with_lora.request) in shelf.entries
    loader.stop()
    loader.join(10)


def test_what_leaves_gives_its_memory_back_at_once(tmp_path: Path) -> None:
    """Suspended parts refer to themselves: without the garbage collector they would stay."""
    folder = AdapterShelf(tmp_path, "sd15").folder
    shelf = Shelf(read_settings(folder, {"models_dir": str(folder), "threads": "1"}, {}), CPU)
    gc.collect()
    gc.disable()
    try:
        base = put(shelf, shelf.loading("base"))
        adapted = put(shelf, shelf.adapting(request(model="base", loras=LORAS[:1])))
        later = replace(shelf.entries[Wanted("base", None)], used=time.monotonic())
        shelf.entries |= {Wanted("base", number): later for number in range(ADAPTED_KEPT)}
        shelf.forget_adapted(set())
        assert adapted() is None and base() is not None
        del later
        shelf.remove("base")
        assert base() is None
    finally:
        gc.enable()


def put(shelf: Shelf, loading: Any) -> Any:
    """Load it; a weak reference to its denoiser."""
    _, load = loading
    entry = load()
    shelf.loaded(entry)
    return weakref.ref(entry.model.denoiser)


def add_job(jobs: Jobs, wanted: Request) -> Job:
    job = Job(
        number=len(jobs.all) + 1,
        request=wanted,
        files=(),
        request_id="",
        sender=Recorder(),
        arrived=0.0,
    )
    jobs.all.append(job)
    return job
