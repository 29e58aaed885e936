"""A request on its way, and the times it spends being worked on and waiting."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from inference.engine.events import Sender
from inference.pipelines.calls import Kind
from inference.pipelines.loading import Model
from inference.pipelines.picture import Picture
from inference.pipelines.request import Request
from inference.pipelines.steps import Moment


class State(StrEnum):
    """`WAITING` has no slot yet, `PAUSED` gave it to a more urgent one, `FINISHING` needs none any
    more: its steps are done."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHING = "finishing"


@dataclass(eq=False)
class Job:
    """A request, equal to itself alone. Times are time.monotonic() seconds.

    `number` counts arrivals. `is_worked_on` says that a call of the picture is being made;
    `stepped` numbers the batch that it was in last. `moment` is where it goes on from, `step_sent`
    the last step that was told.
    """

    number: int
    request: Request
    files: Sequence[bytes]
    request_id: str
    sender: Sender
    arrived: float
    moment: Moment | None = None
    state: State = State.WAITING
    model: Model | None = None
    picture: Picture | None = None
    is_worked_on: bool = False
    stepped: int = 0
    group: Any = None
    load_seconds: float = 0.0
    started: float = 0.0
    steps_ended: float = 0.0
    step_sent: int = 0
    calls_checked: int = 0
    _waited: float = 0.0
    _waits_since: float = field(default=0.0)

    def __post_init__(self) -> None:
        self._waits_since = self.arrived

    def waited(self, now: float) -> float:
        """Seconds in which nobody worked on it; never less than before."""
        return self._waited + (0.0 if self.is_worked_on else now - self._waits_since)

    def work_begins(self, now: float) -> None:
        """A call of the picture is being made."""
        self._waited = self.waited(now)
        self.is_worked_on = True

    def work_ends(self, now: float) -> None:
        """The answer is there."""
        self.is_worked_on = False
        self._waits_since = now

    @property
    def steps_done(self) -> int:
        """Steps of the picture, those before a resumption too, as its user counts them."""
        return self.picture.steps.done if self.picture is not None else 0

    def waits_for(self, kind: Kind) -> bool:
        """Whether its picture stands before a call of this kind that nobody makes yet."""
        call = self.picture.call if self.picture is not None else None
        return call is not None and call.kind is kind and not self.is_worked_on

    @property
    def is_before_steps(self) -> bool:
        """Whether no step has been done: encoders may run before the picture has a slot."""
        return self.picture is not None and self.picture.steps.calls == 0
