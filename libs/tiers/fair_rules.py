"""The numbers of the order of service: what a tier is given, and when its users are noisy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.tiers.catalogue import Tier

OVERDUE_EVERY = 2  # each second turn goes to a job past its tier's bound, if there is one
UNSERVED_EVERY = 4  # each fourth turn goes to a tier that was not served for so many seconds
UNSERVED_SECONDS = 40.0
USE_SECONDS = 300.0  # how fast use is forgotten (a time constant): a burst is no noise
SHARES_OF_A_USER = 2.0  # a user is noisy with more in flight, on average, than so many shares ...
LEAST_OF_POOL = 0.05  # ... and than this part of the pool
AFFINITY_SECONDS = 5.0  # how long a job may be passed over for one whose model is loaded
AFFINITY_DEPTH = 16  # how far behind the first user one with a loaded model is looked for
BOUND_OVER_TARGET = 2  # a tier's bound on the wait, over its target


@dataclass(frozen=True)
class QueuedJob:
    """A waiting job; `cost` in milli-credits, times in seconds."""

    id: str
    user: str
    tier: str
    model: str
    cost: int
    queued_at: float
    expires_at: float | None = None


@dataclass(frozen=True)
class TierRule:
    """How one tier is served."""

    name: str
    weight: int
    running_jobs: int
    bound_seconds: float


def rules_of(tiers: Sequence[Tier]) -> tuple[TierRule, ...]:
    """The rules of catalogue tiers."""
    return tuple(
        TierRule(t.name, t.weight, t.running_jobs, BOUND_OVER_TARGET * t.target_wait_p95_seconds)
        for t in tiers
    )


def shares(
    rules: Sequence[TierRule], active_users: Mapping[str, int], slots: int
) -> dict[str, float]:
    """Slots that one user of each tier may keep busy before others come first.

    Twice what would be the user's by the weights of the tiers in use, and at least 5 % of the pool.
    `active_users` had something waiting or in flight within the last USE_SECONDS.
    """
    total = sum(rule.weight for rule in rules if active_users.get(rule.name))
    return {
        rule.name: max(
            LEAST_OF_POOL * slots,
            SHARES_OF_A_USER * slots * rule.weight / total / active_users[rule.name],
        )
        for rule in rules
        if active_users.get(rule.name)
    }
