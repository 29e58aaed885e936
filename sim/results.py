"""Figures of a simulation that has run."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sim.runs import Run
from sim.scenario import POOLS, TARGET
from sim.simulation import Simulation

CURVE_SECONDS = 300.0


@dataclass(frozen=True)
class Waits:
    """Waits in seconds of jobs of one kind; `inside` is the share within their tier's target."""

    jobs: int
    p50: float
    p95: float
    longest: float
    inside: float


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def counted(simulation: Simulation, *, flooders: bool = False) -> list[Run]:
    """Jobs that were accepted in the window, by flooding users or by all others.

    Whoever left the queue unserved is not among them: a job that its user took back waited for
    nothing, and one past its deadline is counted apart.
    """
    first, last = simulation.scenario.window
    names = {flood.user for flood in simulation.scenario.floods}
    return [
        run
        for run in simulation.runs
        if first <= run.arrival.at < last
        and run.started_at is not None
        and (run.arrival.user in names) == flooders
    ]


def waits_of(runs: Iterable[Run]) -> Waits:
    """What the waits of some jobs were."""
    chosen = list(runs)
    waits = [run.wait or 0.0 for run in chosen]
    inside = sum(run.wait is not None and run.wait <= TARGET[run.job.tier] for run in chosen)
    return Waits(
        len(chosen),
        percentile(waits, 0.5),
        percentile(waits, 0.95),
        max(waits, default=0.0),
        inside / len(chosen) if chosen else 1.0,
    )


def waits_by_tier(runs: Sequence[Run]) -> dict[str, Waits]:
    """The same, tier by tier."""
    return {
        tier: waits_of(run for run in runs if run.job.tier == tier)
        for tier in TARGET
        if any(run.job.tier == tier for run in runs)
    }


def refused(simulation: Simulation, tier: str) -> float:
    """Share of a tier's requests of the window that were refused."""
    first, last = simulation.scenario.window
    asked = [
        run for run in simulation.runs if first <= run.arrival.at < last and run.job.tier == tier
    ]
    return sum(run.state == "refused" for run in asked) / len(asked) if asked else 0.0


def longest_gap(simulation: Simulation) -> float:
    """Seconds that a tier which could be served was not, the longest of all tiers and pools."""
    return max(gap for pool in POOLS for gap in simulation.gaps[pool].longest.values())


def coverage(runs: Iterable[Run]) -> float:
    """Share of the jobs that started before the 90th percentile that they were told."""
    told = [
        (run.wait, run.forecast.told.start_p90)
        for run in runs
        if run.wait is not None and run.forecast is not None
    ]
    return sum(wait <= p90 for wait, p90 in told) / len(told) if told else math.nan


def curve_of(
    runs: Sequence[Run], window: tuple[float, float]
) -> dict[str, list[tuple[float, float]]]:
    """For each tier the 95th percentile of the waits, over the minutes of the window."""
    first, last = window
    slots = range(int((last - first) // CURVE_SECONDS))
    found: dict[str, list[list[float]]] = {tier: [[] for _ in slots] for tier in TARGET}
    for run in runs:
        place = int((run.arrival.at - first) // CURVE_SECONDS)
        found[run.job.tier][place].append(run.wait or 0.0)
    return {
        tier: [
            ((place + 0.5) * CURVE_SECONDS / 60, percentile(waits, 0.95))
            for place, waits in enumerate(places)
        ]
        for tier, places in found.items()
    }
