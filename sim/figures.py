"""The figures that the scheduler is judged by: `measure()`, for `./easel bench queue`.

Every goal stands beside its figure. All of it is deterministic: the same tree says the same.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import TypeVar

from libs.tiers.catalogue import TierName
from sim.results import (
    Waits,
    counted,
    coverage,
    curve_of,
    longest_gap,
    refused,
    waits_by_tier,
    waits_of,
)
from sim.runs import Run
from sim.scenario import POOLS, TARGET, Scenario
from sim.scenarios import BASE, DEATHS, EVERYTHING, MIXED, OVERLOAD, STORM, UNLIMITED, calm, flooded
from sim.sharing import worst_share_error
from sim.simulation import Simulation

FLOODERS: tuple[TierName, ...] = ("free", "pro", "enterprise")
SEEDS = range(1, 6)
SHARE_SEEDS = 1000
SHARE_BATCH = 50
PROCESSES = min(2, os.cpu_count() or 1)
In = TypeVar("In")
Out = TypeVar("Out")
FORETOLD = (BASE, OVERLOAD, STORM, DEATHS, MIXED)


@dataclass(frozen=True)
class Outcome:
    """What is kept of a scenario over some seeds; simulations themselves are large."""

    scenario: Scenario
    others: Waits
    by_tier: dict[str, Waits]
    flooders: Waits
    busy: float
    gap: float
    refused: dict[str, float]
    curve: dict[str, list[tuple[float, float]]]
    covered: float
    told: int


def simulate(scenario: Scenario, seeds: Sequence[int]) -> Outcome:
    """All jobs of all seeds together; the busy share of the least busy pool and seed."""
    others: list[Run] = []
    flooders: list[Run] = []
    busy, gaps = [], []
    turned_away: dict[str, list[float]] = {tier: [] for tier in TARGET}
    for seed in seeds:
        simulation = Simulation(scenario, seed).run()
        others += counted(simulation)
        flooders += counted(simulation, flooders=True)
        busy.append(min(simulation.busy(pool) for pool in POOLS))
        gaps.append(longest_gap(simulation))
        for tier, shares in turned_away.items():
            shares.append(refused(simulation, tier))
    return Outcome(
        scenario,
        waits_of(others),
        waits_by_tier(others),
        waits_of(flooders),
        min(busy),
        max(gaps),
        {tier: mean(shares) for tier, shares in turned_away.items()},
        curve_of(others, scenario.window),
        coverage(others),
        sum(run.forecast is not None for run in others),
    )


def simulate_all(scenarios: Iterable[Scenario], seeds: Sequence[int] = SEEDS) -> list[Outcome]:
    """Several scenarios side by side, in their order."""
    return side_by_side(partial(simulate, seeds=seeds), scenarios)


def side_by_side(work: Callable[[In], Out], inputs: Iterable[In]) -> list[Out]:
    """Results in the order of the inputs, on a few processes."""
    with ProcessPoolExecutor(PROCESSES) as pool:
        return list(pool.map(work, inputs))


def share_error(seeds: int = SHARE_SEEDS) -> float:
    """The largest difference of a tier's share from its weight's, over many seeds."""
    batches = [range(first, first + SHARE_BATCH) for first in range(0, seeds, SHARE_BATCH)]
    return max(side_by_side(worst_share_error, batches))


def flood_pairs() -> list[Scenario]:
    """Each flood, and behind it the same without."""
    floods = [flooded(tier) for tier in FLOODERS]
    return [scenario for flood in floods for scenario in (flood, calm(flood))]


def figures_of(outcomes: dict[str, Outcome]) -> dict[str, float]:
    """The figures from what was simulated, by the names of the scenarios."""
    every = [flooded(tier) for tier in FLOODERS]
    floods = [(outcomes[one.name], outcomes[calm(one).name]) for one in every]
    told = [outcomes[scenario.name] for scenario in FORETOLD]
    overload = outcomes[OVERLOAD.name]
    return {
        "flood_others_in_target": min(flood.others.inside for flood, _ in floods),
        "flood_p95_ratio": max(flood.others.p95 / still.others.p95 for flood, still in floods),
        "overload_in_target": overload.others.inside,
        "overload_busy": overload.busy,
        "longest_gap_seconds": max(outcomes[one.name].gap for one in scenarios_of_figures()),
        "eta_p90_coverage": sum(one.covered * one.told for one in told) / sum(o.told for o in told),
    }


def scenarios_of_figures() -> list[Scenario]:
    """All that is simulated for the figures."""
    return [*flood_pairs(), *FORETOLD, EVERYTHING, UNLIMITED]


def measure() -> dict[str, float]:
    """All figures; within three minutes on two busy cores."""
    outcomes = {one.scenario.name: one for one in simulate_all(scenarios_of_figures())}
    figures = figures_of(outcomes) | {"share_error": share_error()}
    return {name: round(value, 4) for name, value in figures.items()}
