"""What a new job is told of its wait, and whether it is let in."""

from dataclasses import dataclass

from libs.tiers.fair_queue import FairQueue, QueuedJob
from sim.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds until the start, as told at acceptance."""

    p50: float
    p90: float
    refused: bool


class Forecaster:
    def __init__(self, scenario: Scenario) -> None:
        pass

    def look(self, pool: str, queue: FairQueue, slots: int, now: float) -> None:
        pass

    def judge(self, pool: str, queue: FairQueue, job: QueuedJob, now: float) -> Forecast | None:
        return None

    def started(self, pool: str, job: QueuedJob, forecast: Forecast | None, now: float) -> None:
        pass

    def ended(self, pool: str, job: QueuedJob, executed: float, seconds: float) -> None:
        pass
