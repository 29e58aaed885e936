import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.engine import Engine
from inference.engine.events import Failure
from inference.pipelines.loading import Model
from tests.inference.drawn import draw
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.recorder import Recorder, submit
from tests.inference.sample_requests import request

LONG_STEPS = 150


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    return make_engine(preload="tiny")


def metric(engine: Engine, name: str, **labels: str) -> float:
    return engine.metrics.registry.get_sample_value(name, labels) or 0.0


def test_a_picture_comes_with_its_steps_and_times(engine: Engine, model: Model) -> None:
    recorder = submit(engine, steps=4, progress_every=2).wait()
    assert recorder.events[0] == {"type": "started"}
    assert recorder.steps == [1, 2, 3, 4]
    assert list(recorder.previews) == [2]
    assert recorder.previews[2].shape == (16, 16, 3)
    last = recorder.events[-1]
    assert (last["type"], last["steps"]) == ("done", 4)
    assert set(last["seconds"]) == {"load", "queue", "steps", "decode"}
    assert last["seconds"]["load"] == 0  # it was there
    assert all(seconds >= 0 for seconds in last["seconds"].values())
    assert (last["prompt_tokens"], last["prompt_chunks"]) == (9, 1)
    assert last["made_by"]["dtype"] == "float32"
    assert len(last["made_by"]["model"]) == 64
    assert recorder.image is not None
    assert np.array_equal(recorder.image, draw(model, request(steps=4)))


def test_the_engines_thread_makes_every_call(engine: Engine) -> None:
    recorders = [submit(engine, seed=seed) for seed in range(3)]
    assert {name for recorder in recorders for name in recorder.wait().threads} == {"engine"}


def test_neighbours_do_not_change_a_picture(engine: Engine) -> None:
    alone = submit(engine, seed=5, scheduler="euler_a", steps=8).wait()
    others = [submit(engine, seed=seed, steps=8, guidance=1.0) for seed in range(2)]
    beside = submit(engine, seed=5, scheduler="euler_a", steps=8)
    for recorder in (*others, beside):
        recorder.wait()
    assert alone.image is not None and beside.image is not None
    assert alone.image.tobytes() == beside.image.tobytes()
    assert others[0].image is not None
    assert others[0].image.tobytes() != beside.image.tobytes()


def test_running_jobs_take_turns(engine: Engine) -> None:
    long = submit(engine, steps=LONG_STEPS)
    short = submit(engine, steps=2).wait()
    steps_of_long = len(long.steps)
    long.cancelled.set()
    long.wait()
    assert short.image is not None
    assert steps_of_long < LONG_STEPS / 2


def test_a_cancelled_job_gives_its_slot_to_the_next(make_engine: MakeEngine) -> None:
    engine = make_engine(max_running=1)
    running = submit(engine, steps=LONG_STEPS)
    waiting = submit(engine, steps=1)
    assert running.stepped.wait(30)
    steps_before = len(running.steps)
    running.cancelled.set()
    assert running.wait().failure == (Failure.CANCELLED, "cancelled")
    assert len(running.steps) <= steps_before + 2
    assert waiting.wait().image is not None


def test_a_job_cancelled_while_it_waits_never_starts(make_engine: MakeEngine) -> None:
    engine = make_engine(max_running=1)
    running = submit(engine, steps=LONG_STEPS)
    waiting = submit(engine)
    waiting.cancelled.set()
    assert waiting.wait().failure == (Failure.CANCELLED, "cancelled")
    assert waiting.events == []
    running.cancelled.set()
    running.wait()


def test_one_request_too_many_is_refused_at_once(make_engine: MakeEngine) -> None:
    engine = make_engine(max_running=1, max_waiting=1)
    taken = [submit(engine, steps=LONG_STEPS), submit(engine, steps=LONG_STEPS)]
    assert taken[0].stepped.wait(30)
    refused = submit(engine, steps=1).wait()
    assert refused.failure is not None
    assert refused.failure[0] is Failure.UNAVAILABLE
    assert refused.failure[1].startswith("busy")
    for recorder in taken:
        recorder.cancelled.set()
        recorder.wait()
    assert submit(engine, steps=1).wait().image is not None


def test_a_burst_into_an_idle_engine_fills_slots_and_queue(make_engine: MakeEngine) -> None:
    engine = make_engine(max_running=2, max_waiting=3, preload="tiny")
    recorders = [submit(engine, steps=30) for _ in range(12)]
    drawn = [recorder for recorder in recorders if recorder.wait().image is not None]
    assert 5 <= len(drawn) < 12
    assert all(
        r.failure and r.failure[0] is Failure.UNAVAILABLE for r in recorders if r not in drawn
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"no json", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe{}", "not JSON"),
    ],
)
def test_nonsense_is_an_invalid_argument(engine: Engine, text: bytes, words: str) -> None:
    assert_invalid(submit(engine, text).wait(), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "nothing"}, "unknown model 'nothing'"),
        ({"scheduler": "karras"}, "scheduler must be one of euler"),
        ({"width": 60}, "width must be a multiple of 8"),
        ({"height": 512}, "at most 256 pixels"),
    ],
)
def test_a_wrong_field_is_an_invalid_argument(
    engine: Engine, changes: dict[str, Any], words: str
) -> None:
    assert_invalid(submit(engine, **changes).wait(), words)
    assert submit(engine, steps=1).wait().image is not None


def assert_invalid(recorder: Recorder, words: str) -> None:
    assert recorder.failure is not None
    assert recorder.failure[0] is Failure.INVALID_ARG
    assert words in recorder.failure[1]
    assert recorder.events == []


def test_a_first_request_tells_how_long_its_model_took(make_engine: MakeEngine) -> None:
    seconds = submit(make_engine(), steps=1).wait().events[-1]["seconds"]
    assert seconds["load"] > 0
    assert 0 <= seconds["queue"] < seconds["load"] + 1


def test_a_model_that_is_broken_fails_its_requests_and_no_others(
    make_engine: MakeEngine, models_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(models_dir / "tiny", tmp_path / "tiny")
    shutil.copytree(models_dir / "tiny", tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "vae")
    engine = make_engine(models_dir=tmp_path)
    broken = [submit(engine, model="broken") for _ in range(2)]
    sound = submit(engine, steps=1)
    for recorder in broken:
        failure = recorder.wait().failure
        assert failure is not None and failure[0] is Failure.INTERNAL
        assert "the model could not be loaded: LoadError" in failure[1]
    assert sound.wait().image is not None


def test_a_request_that_cannot_be_read_does_not_end_the_engine(engine: Engine) -> None:
    def unreadable() -> Any:
        raise OSError("the tensor is gone")

    engine.submit(unreadable)
    assert submit(engine, steps=1).wait().image is not None


def test_the_metrics_count_what_happened(engine: Engine) -> None:
    submit(engine, steps=3).wait()
    submit(engine, scheduler="karras").wait()
    jobs = "easel_engine_jobs_total"
    assert metric(engine, jobs, outcome="done") == 1
    assert metric(engine, jobs, outcome="invalid_arg") == 1
    assert metric(engine, "easel_engine_step_seconds_count") == 3
    assert metric(engine, "easel_engine_batch_rows_sum") == 6
    assert metric(engine, "easel_engine_padding_rows_total") == 0
    assert metric(engine, "easel_engine_decode_seconds_count") == 1
    assert metric(engine, "easel_engine_model_load_seconds", model="tiny") > 0
    deadline = time.monotonic() + 5
    while metric(engine, "easel_engine_running_jobs") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert metric(engine, "easel_engine_running_jobs") == 0


def test_stopping_fails_what_is_under_way(make_engine: MakeEngine) -> None:
    engine = make_engine(max_running=1)
    recorders = [submit(engine, steps=LONG_STEPS), submit(engine)]
    assert recorders[0].stepped.wait(30)
    engine.stop()
    for recorder in recorders:
        assert recorder.wait().failure == (Failure.UNAVAILABLE, "the engine is stopping")
    with pytest.raises(RuntimeError, match="not healthy"):
        submit(engine)


def test_a_model_to_be_preloaded_must_be_there(make_engine: MakeEngine) -> None:
    with pytest.raises(Exception, match="unknown model 'nothing'"):
        make_engine(preload="nothing")
