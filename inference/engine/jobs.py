"""Requests on their way: where each stands, how long it was worked on, what it is still to be told.

Everything here belongs to the engine's thread.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from inference.engine.events import Failure, Sender
from inference.engine.memory import Needs
from inference.engine.metrics import EngineMetrics
from inference.engine.scheduling import effective_class
from inference.engine.shelf import Entry
from inference.pipelines.calls import Call, Kind
from inference.pipelines.picture import Picture
from inference.pipelines.request import InvalidRequest, Request

log = logging.getLogger("easel.engine")


class State(StrEnum):
    """`WAITING` has no slot yet, `PAUSED` gave it to a more urgent one, `FINISHING` needs none any
    more: its steps are done. `ENDED` has had its last answer."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHING = "finishing"
    ENDED = "ended"


@dataclass(eq=False)
class Job:
    """A request, equal to itself alone. Times are time.monotonic() seconds.

    `number` counts arrivals. `binding` says what its checkpoints belong to. `is_worked_on` says
    that a call of the picture is being made, `stepped` numbers the batch that it was in last,
    `group` tells whose calls can be made with its own. `lacks_model` says that its model had to be
    loaded, `lacks_room` that this cannot be done before others have ended. `step_sent` is the last
    step that was told, `calls_checked` counts scheduler calls whose numbers were looked at.
    """

    number: int
    request: Request
    files: Sequence[bytes]
    request_id: str
    sender: Sender
    arrived: float
    state: State = State.WAITING
    entry: Entry | None = None
    needs: Needs | None = None
    picture: Picture | None = None
    binding: str = ""
    lacks_model: bool = False
    lacks_room: bool = False
    is_worked_on: bool = False
    stepped: int = 0
    group: Any = None
    load_seconds: float = 0.0
    started: float = 0.0
    steps_ended: float = 0.0
    step_sent: int = 0
    calls_checked: int = 0
    _waited: float = 0.0
    _waits_since: float = 0.0

    def __post_init__(self) -> None:
        self._waits_since = self.arrived

    def waited(self, now: float) -> float:
        """Seconds in which nobody worked on it; never less than before."""
        return self._waited + (0.0 if self.is_worked_on else now - self._waits_since)

    def begin_work(self, now: float) -> None:
        """A call of the picture is being made."""
        self._waited = self.waited(now)
        self.is_worked_on = True

    def end_work(self, now: float) -> None:
        """The answer is there."""
        self.is_worked_on = False
        self._waits_since = now

    def urgency(self, now: float, ageing_seconds: float) -> int:
        """Its class by now; 0 goes first."""
        return effective_class(self.request.priority, self.waited(now), ageing_seconds)

    def open_call(self, kind: Kind) -> Call | None:
        """The call of this kind that its picture waits for and nobody makes yet."""
        call = self.picture.call if self.picture is not None and not self.is_worked_on else None
        return call if call is not None and call.kind is kind else None

    @property
    def drawing(self) -> Picture:
        """Its picture, which has begun."""
        assert self.picture is not None
        return self.picture

    @property
    def is_before_steps(self) -> bool:
        """Whether no step has been done: encoders may run before the picture has a slot."""
        return self.picture is not None and self.picture.steps.calls == 0

    @property
    def has_begun(self) -> bool:
        """Whether it has had a slot: what it has done must not be lost."""
        return self.state in (State.RUNNING, State.PAUSED, State.FINISHING)


class Jobs:
    """All jobs that have not ended, in the order of arrival, and what they are still to be told.

    Answers wait in an outbox until the next calls are under way.
    """

    def __init__(self, metrics: EngineMetrics, ageing_seconds: float) -> None:
        self.metrics = metrics
        self.ageing_seconds = ageing_seconds
        self.all: list[Job] = []
        self._outbox: list[Callable[[], None]] = []
        gauges = {State.RUNNING: metrics.running, State.WAITING: metrics.waiting}
        for state, gauge in {**gauges, State.PAUSED: metrics.paused}.items():
            gauge.set_function(partial(self.count, state))

    def of(self, *states: State) -> list[Job]:
        """Those in one of the states."""
        return [job for job in self.all if job.state in states]

    def count(self, state: State) -> int:
        """How many are in this state."""
        return sum(job.state is state for job in tuple(self.all))

    def ranked(self, jobs: Sequence[Job]) -> list[Job]:
        """The most urgent first, of equal ones the first that came."""
        now = time.monotonic()
        return sorted(jobs, key=lambda job: (job.urgency(now, self.ageing_seconds), job.number))

    def later(self, telling: Callable[[], None]) -> None:
        """Have something told by the next `tell`."""
        self._outbox.append(telling)

    def tell(self) -> None:
        """Send what there is to send."""
        outbox, self._outbox = self._outbox, []
        for telling in outbox:
            try:
                telling()
            except Exception:
                log.exception("an answer could not be sent")

    def end(self, job: Job, outcome: str) -> None:
        """The job is over; its picture is given up, wherever it is."""
        job.state = State.ENDED
        self.all.remove(job)
        self.metrics.jobs.labels(outcome).inc()
        if job.picture is not None and not job.picture.is_finished:
            job.picture.close()

    def fail(self, job: Job, failure: Failure, message: str) -> None:
        """End a job without a picture."""
        self.end(job, failure.value.lower())
        self.later(partial(job.sender.fail, failure, message))

    def refuse(self, sender: Sender, failure: Failure, message: str) -> None:
        """Answer a request that never became a job."""
        self.metrics.jobs.labels(failure.value.lower()).inc()
        self.later(partial(sender.fail, failure, message))

    def fail_of(self, job: Job, error: Exception) -> None:
        """End a job by what its picture raised."""
        if isinstance(error, InvalidRequest):
            return self.fail(job, Failure.INVALID_ARG, str(error))
        log.error("a picture failed", exc_info=error)
        self.fail(job, Failure.INTERNAL, f"the picture failed: {describe(error)}")


def describe(error: Exception) -> str:
    """The kind of an error and its first line: what its author may know."""
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {line[:200]}" if line else type(error).__name__
