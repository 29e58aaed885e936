"""What waits in a GPU pool, small enough to be read every second: the ground of every estimate.

Users are counted by where their waiting work starts and ends in the virtual time of their tier
(`libs/tiers/fair_queue.py`), in buckets of powers of two. From that follows how much of everybody's
work is served before a job that starts at a given virtual time. Work is in milli-credits.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from libs.tiers.fair_rules import TierRule
from libs.tiers.tier_queue import TierQueue

STEP = 1_000  # the price of the cheapest picture
GRID = (0, *(STEP << power for power in range(21)))  # virtual times, from the tier's present one
FIRST_JOB_SECONDS_PER_MILLICREDIT = 0.001  # a credit is one GPU-second: until a job was measured


@dataclass(frozen=True)
class WaitingUser:
    """One user's waiting jobs of a tier: `lead` is how far the user's tag is past the tier's
    virtual time, `head` the cost of the first job, `cost` of all."""

    jobs: int
    cost: int
    head: int
    lead: float = 0.0


@dataclass(frozen=True)
class UserBucket:
    """Users whose first job starts before GRID[start] and whose last before GRID[end], and
    not before the grid point in front. `offset` is the sum of `head - lead`."""

    start: int
    end: int
    users: int
    cost: int
    offset: float


@dataclass(frozen=True)
class TierLoad:
    """One tier of a pool.

    `ahead[i]`: work of all waiting users that is served before a job whose virtual start is
    GRID[i] later than now. `ready`: waiting jobs that no running limit holds back. `arrivals`: work
    that comes in, milli-credits a second; `newcomers`: the part of it whose virtual start is now.
    """

    rule: TierRule
    waiting: int = 0
    waiting_cost: int = 0
    ready: int = 0
    arrivals: float = 0.0
    newcomers: float = 0.0
    ahead: tuple[float, ...] = field(default=(0.0,) * len(GRID))

    @property
    def mean_cost(self) -> float:
        """Milli-credits of a waiting job."""
        return self.waiting_cost / self.waiting if self.waiting else float(STEP)


@dataclass(frozen=True)
class PoolLoad:
    """One pool: its slots, what runs on them, and its tiers.

    `helping_slots` are those of workers that serve another pool first; they are free for this one
    after `help_after` seconds. `speed` is seconds of a slot a milli-credit.
    """

    tiers: Mapping[str, TierLoad]
    slots: float = 1.0
    helping_slots: float = 0.0
    help_after: float = 0.0
    running: int = 0
    running_cost: int = 0
    speed: float = FIRST_JOB_SECONDS_PER_MILLICREDIT

    @property
    def free_slots(self) -> float:
        """Slots that are left when every job that may start has started."""
        ready = sum(tier.ready for tier in self.tiers.values())
        helping = self.helping_slots if self.help_after <= 0 else 0.0
        return self.slots + helping - self.running - ready


def bucket_of(virtual_time: float) -> int:
    """The first place of the grid that is not before a virtual time."""
    return min(bisect_left(GRID, virtual_time), len(GRID) - 1)


def bucket_users(users: Iterable[WaitingUser]) -> list[UserBucket]:
    """Users by where their work starts and ends."""
    sums: dict[tuple[int, int], tuple[int, int, float]] = {}
    for user in users:
        lead = max(0.0, user.lead)
        key = bucket_of(lead), bucket_of(lead + user.cost - user.head)
        known, cost, offset = sums.get(key, (0, 0, 0.0))
        sums[key] = known + 1, cost + user.cost, offset + user.head - lead
    return [
        UserBucket(start, end, users, cost, offset)
        for (start, end), (users, cost, offset) in sums.items()
    ]


def work_ahead(buckets: Iterable[UserBucket]) -> tuple[float, ...]:
    """Work that is served before a job that starts at each place of the grid.

    A user whose first job starts at `a` and last at `e` has been served `head + S - a` by the
    virtual time S, and all of `cost` from `e` on: the fluid form of start-time fair queueing.
    """
    constant, slope = [0.0] * len(GRID), [0] * len(GRID)
    for bucket in buckets:
        constant[bucket.start] += bucket.offset
        slope[bucket.start] += bucket.users
        constant[bucket.end] += bucket.cost - bucket.offset
        slope[bucket.end] -= bucket.users
    lines = zip(accumulate(constant), accumulate(slope), GRID, strict=True)
    return tuple(base + users * at for base, users, at in lines)


def load_of_tier(
    rule: TierRule,
    users: Iterable[WaitingUser],
    *,
    ready: int,
    arrivals: float = 0.0,
    newcomers: float = 0.0,
) -> TierLoad:
    """A tier from its waiting users."""
    known = list(users)
    return TierLoad(
        rule=rule,
        waiting=sum(user.jobs for user in known),
        waiting_cost=sum(user.cost for user in known),
        ready=ready,
        arrivals=arrivals,
        newcomers=newcomers,
        ahead=work_ahead(bucket_users(known)),
    )


def load_of_queue(
    queue: TierQueue, in_flight: Mapping[str, int], *, arrivals: float, newcomers: float
) -> TierLoad:
    """A tier of a queue that is held in memory, as the simulator's are."""
    flows = [flow for _, _, flow in queue.order]
    users = (
        WaitingUser(
            jobs=len(flow.jobs),
            cost=sum(job.cost for _, job in flow.jobs),
            head=flow.head.cost,
            lead=flow.tag - queue.virtual_time,
        )
        for flow in flows
    )
    limit = queue.rule.running_jobs
    ready = sum(max(0, min(len(f.jobs), limit - in_flight.get(f.user, 0))) for f in flows)
    return load_of_tier(queue.rule, users, ready=ready, arrivals=arrivals, newcomers=newcomers)


def served_before(tier: TierLoad, virtual_start: float) -> float:
    """Work of a tier that is served before a job with that virtual start, milli-credits."""
    if virtual_start <= 0:
        return tier.ahead[0]
    place = bucket_of(virtual_start)
    low, high = GRID[place - 1], GRID[place]
    part = min(1.0, (virtual_start - low) / (high - low))
    return tier.ahead[place - 1] + part * (tier.ahead[place] - tier.ahead[place - 1])
