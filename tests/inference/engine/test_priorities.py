"""Urgent pictures get in at the next step; who gives way goes on as if nothing had happened."""

from typing import Any

from inference.engine.engine import Engine
from inference.pipelines.loading import Model
from tests.inference.drawn import draw
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.denoisers import Gate, load_around
from tests.inference.engine.recorder import Recorder, operate, submit, until
from tests.inference.sample_requests import request


def waiting(engine: Engine) -> int:
    return int(operate(engine, "stats").events[-1]["waiting"])


def pixels(recorder: Recorder) -> bytes:
    assert recorder.wait().image is not None, recorder.failure
    return recorder.image.tobytes() if recorder.image is not None else b""


def test_an_urgent_picture_pauses_the_worst_at_the_next_step(
    make_engine: MakeEngine, model: Model
) -> None:
    gate = Gate()
    engine = make_engine(load=load_around(gate), max_running=1)
    slow = submit(engine, priority=5, steps=6, seed=1, scheduler="dpmpp_2m")
    gate.let(2)
    until(lambda: slow.steps == [1, 2])
    urgent = submit(engine, priority=0, steps=2, seed=2)
    until(lambda: waiting(engine) == 1)
    gate.let(1)  # the step that was under way when it came
    until(lambda: urgent.types == ["started"])
    assert slow.types == ["started", "paused"]
    assert operate(engine, "stats").events[-1]["paused"] == 1
    gate.open()
    assert pixels(urgent) == draw(model, request(steps=2, seed=2)).tobytes()
    whole = draw(model, request(steps=6, seed=1, scheduler="dpmpp_2m")).tobytes()
    assert pixels(slow) == whole
    assert slow.types == ["started", "paused", "resumed", "done"]
    told = [event["step"] for event in slow.events if event["type"] in ("paused", "resumed")]
    assert told == [3, 3]
    assert slow.steps == [1, 2, 3, 4, 5, 6]
    assert urgent.ended_at < slow.ended_at
    assert engine.metrics.registry.get_sample_value("easel_engine_pauses_total") == 1


def test_equal_classes_are_served_in_their_order(make_engine: MakeEngine) -> None:
    gate = Gate()
    engine = make_engine(load=load_around(gate), max_running=1)
    recorders = [submit(engine, priority=3, steps=2) for _ in range(3)]
    gate.open()
    ends = [recorder.wait().ended_at for recorder in recorders]
    assert ends == sorted(ends)
    assert all(recorder.types == ["started", "done"] for recorder in recorders)


def test_a_waiting_picture_overtakes_less_urgent_ones(make_engine: MakeEngine) -> None:
    gate = Gate()
    engine = make_engine(load=load_around(gate), max_running=1)
    running = submit(engine, priority=0, steps=4)
    gate.let(1)
    until(lambda: running.steps == [1])
    later = [submit(engine, priority=priority, steps=1) for priority in (9, 5, 2)]
    until(lambda: waiting(engine) == 3)
    gate.open()
    ends = [recorder.wait().ended_at for recorder in later]
    assert ends == sorted(ends, reverse=True)
    assert running.types == ["started", "done"]


def test_a_new_picture_joins_the_next_batch(make_engine: MakeEngine) -> None:
    gate, read = Gate(), []

    def encode(real: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(kwargs)
        return real(*args, **kwargs)

    engine = make_engine(load=load_around(gate, encode), max_running=4, batch_rows="2,4,8")
    first = submit(engine, steps=8)
    gate.let(2)
    until(lambda: first.steps == [1, 2])
    second = submit(engine, steps=4, seed=9)
    until(lambda: len(read) == 4)  # both its prompts, while a step is under way
    assert waiting(engine) == waiting(engine) == 1
    gate.let(1)
    until(lambda: second.types == ["started"])
    gate.open()
    first.wait(), second.wait()
    assert gate.rows == [2, 2, 2, 4, 4, 4, 4, 2]


def test_a_paused_picture_can_be_cancelled_and_drained(make_engine: MakeEngine) -> None:
    gate = Gate()
    engine = make_engine(load=load_around(gate), max_running=2)
    slow = [submit(engine, priority=9, steps=6, request_id=f"slow-{n}") for n in range(2)]
    gate.let(4)
    until(lambda: all(recorder.steps == [1, 2] for recorder in slow))
    urgent = [submit(engine, priority=0, steps=3) for _ in range(2)]
    until(lambda: waiting(engine) == 2)
    gate.let(1)
    until(lambda: all("paused" in recorder.types for recorder in slow))
    slow[0].cancelled.set()
    assert slow[0].wait().failure is not None
    assert operate(engine, "drain", requests=["slow-1"]).events[-1]["jobs"] == 1
    assert slow[1].wait().types == ["started", "paused", "checkpoint"]
    gate.open()
    assert all(recorder.wait().image is not None for recorder in urgent)
