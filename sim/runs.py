"""What becomes of a request, and what is told of it on the way."""

from dataclasses import dataclass
from typing import Literal

from libs.tiers.fair_rules import QueuedJob
from sim.forecasting import Forecast
from sim.workload import Arrival

State = Literal["refused", "queued", "running", "succeeded", "cancelled", "failed", "expired"]
Happening = Literal["accepted", "claimed", "ended", "handed back", "left", "shares"]


@dataclass(eq=False, slots=True)
class Run:
    """One request on its way."""

    arrival: Arrival
    job: QueuedJob
    pool: str
    state: State = "queued"
    forecast: Forecast | None = None
    started_at: float | None = None
    ended_at: float | None = None
    attempts: int = 0
    failures: int = 0

    @property
    def wait(self) -> float | None:
        """Seconds from acceptance to the first claim."""
        return None if self.started_at is None else self.started_at - self.arrival.at


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One thing that happened to a pool's queue; what `claimed` and `shares` were decided by."""

    at: float
    what: Happening
    pool: str
    job: QueuedJob | None = None
    worker: str = ""
    loaded: tuple[str, ...] = ()
    executed_cost: int = 0
    slots: int = 0
