"""A sender that keeps what it is told, for tests of the engine without Triton."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference.engine.engine import Arrival, Engine
from inference.engine.events import Event, Failure, Picture
from tests.inference.sample_requests import request_text

WAIT_SECONDS = 60


@dataclass
class Recorder:
    """`threads` are the names of the threads that called it; `cancelled` may be set by a test."""

    events: list[Event] = field(default_factory=list)
    previews: dict[int, Picture] = field(default_factory=dict)
    checkpoints: dict[int, bytes] = field(default_factory=dict)
    image: Picture | None = None
    failure: tuple[Failure, str] | None = None
    threads: set[str] = field(default_factory=set)
    ended_at: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    stepped: threading.Event = field(default_factory=threading.Event)

    def is_cancelled(self) -> bool:
        self._note()
        return self.cancelled.is_set()

    def send(self, event: Event, preview: Picture | None = None, checkpoint: bytes = b"") -> None:
        self._note()
        self.events.append(event)
        if checkpoint:
            self.checkpoints[event["step"]] = checkpoint
        if preview is not None:
            self.previews[event["step"]] = preview
        if event["type"] == "progress":
            self.stepped.set()

    def finish(self, event: Event, image: Picture | None = None) -> None:
        self.send(event)
        self.image = image
        self._end()

    def fail(self, failure: Failure, message: str) -> None:
        self._note()
        self.failure = (failure, message)
        self._end()

    @property
    def steps(self) -> list[int]:
        return [event["step"] for event in self.events if event["type"] == "progress"]

    @property
    def types(self) -> list[str]:
        """What was told, step by step apart."""
        return [event["type"] for event in self.events if event["type"] != "progress"]

    def wait(self) -> "Recorder":
        assert self.ended.wait(WAIT_SECONDS), "the engine did not answer"
        return self

    def _end(self) -> None:
        self.ended_at = time.monotonic()
        self.ended.set()

    def _note(self) -> None:
        assert not self.ended.is_set(), "the engine went on after the last answer"
        self.threads.add(threading.current_thread().name)


def submit(
    engine: Engine,
    text: bytes | None = None,
    files: Sequence[bytes] = (),
    request_id: str = "",
    **changes: Any,
) -> Recorder:
    """Hand a request over: `text`, or the small picture with `changes`."""
    recorder = Recorder()
    body = request_text(**changes) if text is None else text
    engine.submit(lambda: Arrival(body, files, request_id, recorder))
    return recorder


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the engine will do."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def operate(engine: Engine, op: str, **fields: Any) -> Recorder:
    """Ask the engine itself for something, and wait for its answer."""
    return submit(engine, json.dumps({"op": op, **fields}).encode()).wait()
