"""What a simulation is told."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from libs.tiers.catalogue import TierName, load_catalogue
from libs.tiers.fair_queue import FairQueue
from libs.tiers.fair_rules import TierRule, rules_of
from sim.fleet import Deaths, Storm
from sim.workload import (
    LOADS,
    Arrival,
    Flood,
    Habits,
    Model,
    Phase,
    TierLoad,
    arrivals_of_flood,
    arrivals_of_tier,
)

TIERS = load_catalogue().tiers
POOL_OF: dict[str, str] = {tier.name: tier.gpu_pool for tier in TIERS}
TARGET: dict[str, float] = {tier.name: float(tier.target_wait_p95_seconds) for tier in TIERS}
POOLS = ("premium", "standard")


@dataclass(frozen=True)
class Scenario:
    """GPUs by pool, who asks for what, and what goes wrong.

    `window`: the seconds in which jobs must be accepted to count in the figures, and GPUs are
    watched. `running_jobs` lifts limits of tiers. `forecasts`: jobs are told their wait at
    acceptance; `admits`: those that would wait too long are refused. What is let in before the
    last phase ends is served.
    """

    name: str
    about: str
    slots: Mapping[str, int]
    phases: tuple[Phase, ...]
    window: tuple[float, float]
    loads: tuple[TierLoad, ...] = LOADS
    floods: tuple[Flood, ...] = ()
    habits: Habits = Habits()
    models: tuple[Model, ...] = (Model("demo"),)
    keeps_models: int = 2
    load_seconds: float = 0.0
    tells_loaded: bool = True
    deaths: Deaths | None = None
    storms: tuple[Storm, ...] = ()
    running_jobs: Mapping[TierName, int] = field(default_factory=dict)
    admits: bool = True
    forecasts: bool = True
    order: type[FairQueue] = FairQueue

    @property
    def end(self) -> float:
        """When the last job may arrive."""
        return self.phases[-1].until

    def rules(self, pool: str) -> tuple[TierRule, ...]:
        """How the tiers of a pool are served."""
        return tuple(
            replace(rule, running_jobs=self.running_jobs.get(tier.name, rule.running_jobs))
            for tier, rule in zip(TIERS, rules_of(TIERS), strict=True)
            if tier.gpu_pool == pool
        )


def arrivals_of(scenario: Scenario, seed: int) -> Iterator[Arrival]:
    """All requests of a scenario, in the order of time."""
    slots, streams = scenario.slots, []
    for load in scenario.loads:
        rng, pool = Random(f"{seed} {load.tier}"), POOL_OF[load.tier]
        streams.append(
            arrivals_of_tier(
                rng, load, slots[pool], scenario.phases, scenario.models, scenario.habits
            )
        )
    for flood in scenario.floods:
        rng = Random(f"{seed} {flood.user}")
        load = next(load for load in scenario.loads if load.tier == flood.tier)
        pool = POOL_OF[flood.tier]
        streams.append(arrivals_of_flood(rng, flood, load, slots[pool], scenario.models))
    return heapq.merge(*streams, key=lambda arrival: arrival.at)
