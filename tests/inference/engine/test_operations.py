"""What the engine is asked about itself, and what it is told to do."""

import json
from typing import Any

import pytest

from inference.engine.engine import Arrival
from inference.engine.events import Failure
from inference.pipelines.loading import Model
from tests.inference.drawn import draw
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.denoisers import Gate, load_around
from tests.inference.engine.recorder import Recorder, operate, submit, until
from tests.inference.sample_requests import request, request_text


def test_stats_tell_what_runs_and_what_lies_in_memory(make_engine: MakeEngine) -> None:
    gate = Gate()
    engine = make_engine(
        load=load_around(gate), preload="tiny", max_running=1, batch_rows="4", memory_mib=100
    )
    running = submit(engine, steps=2)
    gate.let(1)
    until(lambda: running.steps == [1])
    submit(engine, steps=1)
    stats = operate(engine, "stats").events[-1]
    assert {n: stats[n] for n in ("running", "waiting", "paused", "finishing")} == {
        "running": 1,
        "waiting": 1,
        "paused": 0,
        "finishing": 0,
    }
    model = stats["models"]["tiny"]
    assert model["pictures"] == 2
    assert (model["steps"], model["calls"], model["rows"], model["padding_rows"]) == (1, 1, 2, 2)
    assert 1_000_000 < model["bytes"] < stats["memory"]["used"] < stats["memory"]["budget"]
    assert stats["memory"]["budget"] == 100 << 20
    gate.open()


def test_drain_hands_back_what_is_named_with_its_state(
    make_engine: MakeEngine, model: Model
) -> None:
    gate = Gate()
    engine = make_engine(load=load_around(gate), max_running=2)
    going = submit(engine, request_id="a", steps=4)
    staying = submit(engine, request_id="b", steps=4, seed=8)
    gate.let(4)
    until(lambda: going.steps == staying.steps == [1, 2])
    waiting = submit(engine, request_id="c", steps=4)
    drained = operate(engine, "drain", requests=["a", "c", "unknown"])
    assert drained.events == [{"type": "drained", "jobs": 2}]
    words = "draining: handed back after step"
    assert going.wait().failure == (Failure.UNAVAILABLE, f"{words} 2")
    assert waiting.wait().failure == (Failure.UNAVAILABLE, f"{words} 0")
    assert list(going.checkpoints) == [2]
    assert waiting.events == []
    gate.open()
    expected = draw(model, request(steps=4, seed=8))
    image = staying.wait().image
    assert image is not None and image.tobytes() == expected.tobytes()
    resumed = submit(engine, files=[going.checkpoints[2]], resume=0, steps=4).wait()
    assert resumed.steps == [3, 4]
    assert resumed.image is not None
    assert resumed.image.tobytes() == draw(model, request(steps=4)).tobytes()


@pytest.mark.parametrize("scheduler", ["euler", "heun"])
def test_checkpoints_come_every_so_many_steps(
    make_engine: MakeEngine, model: Model, scheduler: str
) -> None:
    engine = make_engine(preload="tiny")
    changes: dict[str, Any] = {"steps": 7, "scheduler": scheduler}
    recorder = submit(engine, checkpoint_every=3, **changes).wait()
    assert list(recorder.checkpoints) == [3, 6]
    assert [e["steps"] for e in recorder.events if e["type"] == "checkpoint"] == [7, 7]
    assert engine.metrics.registry.get_sample_value("easel_engine_checkpoints_total") == 2
    for step, blob in recorder.checkpoints.items():
        again = submit(engine, files=[b"other", blob], resume=1, priority=5, **changes).wait()
        assert again.image is not None and recorder.image is not None
        assert again.image.tobytes() == recorder.image.tobytes()
        assert min(again.steps) == step + 1


@pytest.mark.parametrize(
    ("changes", "files", "words"),
    [
        ({"seed": 8}, None, "resume: the checkpoint belongs to another request"),
        ({}, [b"nonsense"], "resume: the file is not a checkpoint"),
        ({}, [], "resume: there is no file 0"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_an_invalid_argument(
    make_engine: MakeEngine, changes: dict[str, Any], files: list[bytes] | None, words: str
) -> None:
    engine = make_engine(preload="tiny")
    made = submit(engine, checkpoint_every=2).wait().checkpoints[2]
    refused = submit(engine, files=[made] if files is None else files, resume=0, **changes).wait()
    assert refused.failure is not None and refused.failure[0] is Failure.INVALID_ARG
    assert words in refused.failure[1]


def test_models_are_loaded_and_unloaded_on_request(make_engine: MakeEngine) -> None:
    engine = make_engine()
    (loaded,) = operate(engine, "load", model="tiny").events
    assert (loaded["type"], loaded["model"]) == ("loaded", "tiny")
    assert loaded["seconds"] > 0
    assert operate(engine, "load", model="tiny").events[0]["seconds"] == 0
    assert operate(engine, "stats").events[-1]["models"]["tiny"]["bytes"] > 0
    gone = {"type": "unloaded", "model": "tiny", "was_loaded": True}
    assert operate(engine, "unload", model="tiny").events == [gone]
    assert operate(engine, "unload", model="tiny").events == [{**gone, "was_loaded": False}]
    assert operate(engine, "stats").events[-1]["models"] == {}


def test_a_model_in_use_is_not_unloaded(make_engine: MakeEngine) -> None:
    gate = Gate()
    engine = make_engine(load=load_around(gate))
    running = submit(engine, steps=2)
    gate.let(1)
    until(lambda: running.steps == [1])
    busy = operate(engine, "unload", model="tiny").failure
    assert busy == (Failure.UNAVAILABLE, "busy: 1 pictures use the model")
    gate.open()
    running.wait()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"op": "dance"}, "op must be one of stats, drain, load, unload"),
        ({"op": "stats", "more": 1}, "the operation takes nothing"),
        ({"op": "drain"}, "the operation takes requests"),
        ({"op": "drain", "requests": "a"}, "requests must be a list"),
        ({"op": "load"}, "the operation takes model"),
        ({"op": "load", "model": "nothing"}, "unknown model 'nothing'"),
        ({"op": "load", "model": 3}, "model must be a name"),
        ({"op": "load", "model": "/etc"}, "model must be a name"),
        ({"op": "unload", "model": "../tiny"}, "model must be a name"),
    ],
)
def test_an_operation_that_is_none_is_refused(
    make_engine: MakeEngine, document: dict[str, Any], words: str
) -> None:
    answer: Recorder = submit(make_engine(), json.dumps(document).encode()).wait()
    assert answer.failure is not None and answer.failure[0] is Failure.INVALID_ARG
    assert words in answer.failure[1]


class Broken(Recorder):
    """Its stream is gone when a checkpoint is to be sent."""

    def send(self, event: Any, preview: Any = None, checkpoint: bytes = b"") -> None:
        if checkpoint:
            raise RuntimeError("the stream is gone")
        super().send(event, preview, checkpoint)


def test_a_stream_that_is_gone_keeps_nobody_else_from_being_handed_back(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(preload="tiny")
    broken = Broken()
    body = request_text(steps=150)
    engine.submit(lambda: Arrival(body, [], "broken", broken))
    other = submit(engine, steps=150, request_id="other")
    until(lambda: bool(broken.steps and other.steps))
    assert operate(engine, "drain", requests=None).events[-1] == {"type": "drained", "jobs": 2}
    assert other.wait().checkpoints and broken.wait().failure is not None
    assert operate(engine, "stats").events[-1]["requests"] == []
