"""When a job starts and finishes, from the queue as the relay saw it last.

`QueueOutlook` is what stands in `generation.outlooks`; the rules are `libs.tiers.estimates`. What
`generation.accept_job` is told is one table a tier: it knows the user's own jobs, this does not.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel

from libs.tiers.admission import OWN_CHOICE, PART_OF_TARGET
from libs.tiers.catalogue import Pool, Tier, TierName, load_catalogue
from libs.tiers.estimates import (
    OWN_MARGIN,
    Calibration,
    Estimate,
    Service,
    reckon_wait,
    seconds_of_own_work,
    table_of_waits,
    tell,
)
from libs.tiers.fair_rules import TierRule, rules_of
from libs.tiers.pool_loads import GRID, PoolLoad, TierLoad
from services.generation.measures import ALL_MODELS
from services.generation.schemas import WaitEstimate

Overload = Literal["refuse", "accept"]
TIERS = load_catalogue().tiers
RULES: Mapping[TierName, TierRule] = {
    tier.name: rule for tier, rule in zip(TIERS, rules_of(TIERS), strict=True)
}
POOLS: tuple[Pool, ...] = tuple(sorted({tier.gpu_pool for tier in TIERS}))
STALE_AFTER = timedelta(seconds=30)  # older numbers refuse nobody


class PoolFacts(BaseModel):
    """What runs in a pool; see `libs.tiers.pool_loads.PoolLoad`."""

    slots: float = 1.0
    helping_slots: float = 0.0
    help_after: float = 0.0
    running: int = 0
    running_cost: int = 0
    speed: float = PoolLoad({}).speed


class TierFacts(BaseModel):
    """One row of `generation.outlooks`; see `libs.tiers.pool_loads.TierLoad`.

    `users` have something waiting, `noisy_users` of them more than their share in flight.
    `services`: seconds a milli-credit at p50 and p90, by model and, under "", of all models.
    """

    waiting: int = 0
    waiting_cost: int = 0
    ready: int = 0
    arrivals: float = 0.0
    newcomers: float = 0.0
    ahead: tuple[float, ...] = (0.0,) * len(GRID)
    users: int = 0
    noisy_users: int = 0
    running: int = 0
    oldest_seconds: float = 0.0
    factors: tuple[float, float] = (1.0, 1.0)
    kept: float | None = None
    services: dict[str, tuple[float, float]] = {}
    pool: PoolFacts = PoolFacts()


@dataclass(frozen=True)
class QueueOutlook:
    """The whole queue at one moment; None: the relay has said nothing yet."""

    facts: Mapping[TierName, TierFacts]
    shares: Mapping[TierName, float] = field(default_factory=dict)
    at: datetime | None = None

    @cached_property
    def pools(self) -> Mapping[Pool, PoolLoad]:
        """The load of each pool."""
        return {pool: self._load(pool) for pool in POOLS}

    def _load(self, pool: Pool) -> PoolLoad:
        known = {tier.name: self.facts_of(tier.name) for tier in TIERS if tier.gpu_pool == pool}
        facts = next(iter(known.values())).pool
        loads: dict[str, TierLoad] = {
            name: load_of_facts(RULES[name], tier) for name, tier in known.items()
        }
        return PoolLoad(loads, **facts.model_dump())

    def facts_of(self, tier: TierName) -> TierFacts:
        """What is known of a tier."""
        return self.facts.get(tier) or TierFacts()

    def service(self, tier: TierName, model: str) -> Service:
        """How fast a model is served in the tier's pool."""
        known = self.facts_of(tier).services
        return Service(*(known.get(model) or known.get(ALL_MODELS) or ()))

    def is_fresh(self, now: datetime) -> bool:
        """Whether the numbers are young enough to refuse a job by them."""
        return self.at is not None and now - self.at < STALE_AFTER


def load_of_facts(rule: TierRule, facts: TierFacts) -> TierLoad:
    """The load of a tier."""
    return TierLoad(
        rule=rule,
        waiting=facts.waiting,
        waiting_cost=facts.waiting_cost,
        ready=facts.ready,
        arrivals=facts.arrivals,
        newcomers=facts.newcomers,
        ahead=facts.ahead,
    )


@dataclass(frozen=True)
class OwnWork:
    """What a user has in front of one more job: see `libs.tiers.estimates.estimate`. `included` is
    the job's own cost where the outlook counts it already."""

    virtual_start: float = 0.0
    own_cost: float = 0.0
    included: float = 0.0


def estimate_job(
    outlook: QueueOutlook, tier: Tier, model: str, cost: int, own: OwnWork
) -> Estimate:
    """When a job of a user would start and finish."""
    pool = outlook.pools[tier.gpu_pool]
    wait = reckon_wait(pool, tier.name, own.virtual_start, included=own.included)
    own_seconds = own.own_cost * seconds_of_own_work(pool, tier.name)
    factors = Calibration(*outlook.facts_of(tier.name).factors)
    return tell(wait, own_seconds, cost, factors, outlook.service(tier.name, model))


def show_wait(told: Estimate) -> WaitEstimate:
    """An estimate as users see it, to a tenth of a second."""
    return WaitEstimate(
        position=told.position,
        jobs_ahead=told.position - 1,
        p50_seconds=round(told.start_p50, 1),
        p90_seconds=round(told.start_p90, 1),
        finish_p50_seconds=round(told.finish_p50, 1),
        finish_p90_seconds=round(told.finish_p90, 1),
    )


def tables_for_acceptance(outlook: QueueOutlook, overload: Overload, now: datetime) -> str:
    """What `generation.accept_job` tells waits by, for every tier, as JSON.

    `allowed` and `choice` are the rule of `libs.tiers.admission`; null: nobody is refused.
    """
    refuses = overload == "refuse" and outlook.is_fresh(now)
    tables = {tier.name: table_of_tier(outlook, tier, refuses) for tier in TIERS}
    return json.dumps({"grid": GRID, "tiers": tables})


def table_of_tier(outlook: QueueOutlook, tier: Tier, refuses: bool) -> dict[str, Any]:
    """One tier's part of the tables."""
    pool, facts = outlook.pools[tier.gpu_pool], outlook.facts_of(tier.name)
    waits = table_of_waits(pool, tier.name)
    target = tier.target_wait_p95_seconds
    default = outlook.service(tier.name, ALL_MODELS)
    return {
        "seconds": [wait.seconds for wait in waits],
        "jobs": [wait.jobs_ahead for wait in waits],
        "own_seconds": seconds_of_own_work(pool, tier.name),
        "own_margin": OWN_MARGIN,
        "factors": facts.factors,
        "services": {**facts.services, ALL_MODELS: (default.p50, default.p90)},
        "allowed": PART_OF_TARGET * target if refuses else None,
        "choice": OWN_CHOICE * target,
    }


def outlook_of_rows(rows: Iterable[tuple[str, float, datetime, dict[str, Any]]]) -> QueueOutlook:
    """The outlook from rows of (tier, share, at, outlook)."""
    known = list(rows)
    tiers = {tier.name for tier in TIERS}
    return QueueOutlook(
        facts={row[0]: TierFacts.model_validate(row[3]) for row in known if row[0] in tiers},
        shares={row[0]: row[1] for row in known if row[0] in tiers},
        at=min((row[2] for row in known), default=None),
    )
