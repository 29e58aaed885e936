"""From what the relay sees in the database to what it writes down for everybody."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from libs.tiers.catalogue import Pool, Tier
from libs.tiers.estimates import Calibration
from libs.tiers.fair_rules import shares
from libs.tiers.pool_loads import UserBucket, work_ahead
from services.generation.measures import Measured
from services.generation.waiting import POOLS, RULES, TIERS, PoolFacts, TierFacts

ARRIVAL_SECONDS = 120  # what comes in is counted over
LEAST_HELP = 0.25  # slots: a pool without workers of its own is served some day


@dataclass(frozen=True)
class WaitingUsers:
    """Users of a tier in one bucket (`libs.tiers.pool_loads.UserBucket`); `ready` of their jobs may
    start now, `noisy` of them had more than their share lately, the oldest waits for `age`."""

    pool: str
    tier: str
    start: int
    end: int
    users: int
    jobs: int
    cost: float
    offset: float
    ready: int
    noisy: int
    age: float


@dataclass(frozen=True)
class RunningJobs:
    """Jobs of a tier in flight."""

    pool: str
    tier: str
    jobs: int
    cost: int


@dataclass(frozen=True)
class Arrivals:
    """Work that came into a tier within ARRIVAL_SECONDS, and the part of newcomers."""

    pool: str
    tier: str
    cost: float
    newcomers: float


@dataclass(frozen=True)
class Serving:
    """Slots of workers that serve these pools, in this order."""

    pools: tuple[str, ...]
    slots: int


@dataclass(frozen=True)
class Look:
    """What was seen at one moment. `active`: users with work, by pool and tier."""

    waiting: Sequence[WaitingUsers] = ()
    running: Sequence[RunningJobs] = ()
    arrivals: Sequence[Arrivals] = ()
    serving: Sequence[Serving] = ()
    active: Mapping[tuple[str, str], int] = field(default_factory=dict)
    measured: Mapping[Pool, Measured] = field(default_factory=dict)

    def of(self, pool: str) -> Measured:
        """What was measured in a pool."""
        return self.measured.get(pool) or Measured()  # type: ignore[call-overload]


@dataclass(frozen=True)
class Outlook:
    """One row of `generation.outlooks`."""

    pool: str
    tier: str
    share: float
    facts: TierFacts


Counted = TypeVar("Counted", WaitingUsers, RunningJobs, Arrivals)


def of_pool(counted: Iterable[Counted], pool: str, tier: str | None = None) -> list[Counted]:
    """What belongs to a pool, or to one tier of it."""
    return [one for one in counted if one.pool == pool and tier in (None, one.tier)]


def describe(look: Look) -> list[Outlook]:
    """What everybody is told, one row for each tier in its pool."""
    return [outlook for pool in POOLS for outlook in describe_pool(look, pool)]


def describe_pool(look: Look, pool: Pool) -> list[Outlook]:
    """The rows of one pool."""
    tiers = [tier for tier in TIERS if tier.gpu_pool == pool]
    facts = pool_facts(look, pool)
    active: dict[str, int] = {tier.name: look.active.get((pool, tier.name), 0) for tier in tiers}
    slots = round(facts.slots + facts.helping_slots)
    entitled = shares([RULES[tier.name] for tier in tiers], active, slots)
    return [
        Outlook(
            pool,
            tier.name,
            entitled.get(tier.name, float(max(1, slots))),
            tier_facts(look, tier, facts),
        )
        for tier in tiers
    ]


def pool_facts(look: Look, pool: Pool) -> PoolFacts:
    """What runs in a pool. Without any worker it counts as one slot: somebody will come."""
    running = of_pool(look.running, pool)
    slots = own_slots(look, pool)
    helping, after = help_of(look, pool)
    return PoolFacts(
        slots=slots if slots or helping else 1.0,
        helping_slots=helping,
        help_after=after,
        running=sum(one.jobs for one in running),
        running_cost=sum(one.cost for one in running),
        speed=look.of(pool).speed,
    )


def own_slots(look: Look, pool: str) -> int:
    """Slots of the workers that serve a pool first."""
    return sum(one.slots for one in look.serving if one.pools[0] == pool)


def help_of(look: Look, pool: str) -> tuple[float, float]:
    """Slots that workers of other pools have left for this one, and after how many seconds: when
    the other pool's queue is empty. What comes in there, or runs there, is served first."""
    helpers = [one for one in look.serving if pool in one.pools[1:]]
    slots = sum(one.slots for one in helpers)
    if not slots:
        return 0.0, 0.0
    first = {one.pools[0] for one in helpers}
    busy = after = 0.0
    for other in first:
        speed = look.of(other).speed
        incoming = sum(one.cost for one in of_pool(look.arrivals, other)) / ARRIVAL_SECONDS
        running = sum(one.jobs for one in of_pool(look.running, other))
        waiting = sum(one.cost for one in of_pool(look.waiting, other))
        busy += max(incoming * speed, float(running))
        after = max(after, waiting * speed / own_slots(look, other))
    return max(LEAST_HELP, slots - busy), after


def tier_facts(look: Look, tier: Tier, pool: PoolFacts) -> TierFacts:
    """What is told of one tier."""
    waiting = of_pool(look.waiting, tier.gpu_pool, tier.name)
    arrivals = of_pool(look.arrivals, tier.gpu_pool, tier.name)
    measured = look.of(tier.gpu_pool)
    factors = measured.calibrations.get(tier.name, Calibration())
    buckets = (
        UserBucket(one.start, one.end, one.users, int(one.cost), one.offset) for one in waiting
    )
    return TierFacts(
        waiting=sum(one.jobs for one in waiting),
        waiting_cost=round(sum(one.cost for one in waiting)),
        ready=sum(one.ready for one in waiting),
        arrivals=sum(one.cost for one in arrivals) / ARRIVAL_SECONDS,
        newcomers=sum(one.newcomers for one in arrivals) / ARRIVAL_SECONDS,
        ahead=work_ahead(buckets),
        users=sum(one.users for one in waiting),
        noisy_users=sum(one.noisy for one in waiting),
        running=sum(one.jobs for one in of_pool(look.running, tier.gpu_pool, tier.name)),
        oldest_seconds=max((one.age for one in waiting), default=0.0),
        factors=(factors.p50, factors.p90),
        kept=measured.kept.get(tier.name),
        services=dict(measured.services),
        pool=pool,
    )
