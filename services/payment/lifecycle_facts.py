"""What the provider has told about a subscription: the facts that the lifecycle judges.

Pure data. Facts form sets: hearing one again, or late, or before its cause, changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal, get_args

from libs.tiers.catalogue import Interval, TierName, load_catalogue

Status = Literal["on_trial", "active", "paused", "past_due", "unpaid", "cancelled", "expired"]
MONTHS: dict[Interval, int] = {"month": 1, "year": 12}
# Of two states in one second, the one further on in a subscription's life is the newer.
PROGRESS: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Observation:
    """One state of a subscription. `renews_at` is when the next charge is tried, which is the end
    of what is paid only while the status is `active`. `digest` is a hash of the content."""

    subscription: str
    status: Status
    tier: TierName
    interval: Interval
    created_at: datetime
    updated_at: datetime
    renews_at: datetime | None = None
    trial_ends_at: datetime | None = None
    ends_at: datetime | None = None
    billing_anchor: int | None = None
    digest: bytes = b""


@dataclass(frozen=True)
class Payment:
    """An invoice of a subscription, in cents. `refunded_cents` only ever grows."""

    invoice: str
    subscription: str
    reason: str
    created_at: datetime
    is_paid: bool
    total_cents: int
    refunded_cents: int = 0

    def share_of(self, price_cents: int) -> Fraction:
        """The share, 0..1, of what the period gives that was given back.

        A change of plan pays a part of the period's list price `price_cents`; another invoice pays
        all of it. So the share of one invoice does not hang on which others are known.
        """
        cost = price_cents if self.reason == "updated" else self.total_cents
        return Fraction(min(self.refunded_cents, cost), cost) if cost else Fraction(0)


def age_order(observation: Observation) -> tuple[datetime, int, float, int, bytes]:
    """Sorts states from the oldest to the newest, alike on every machine."""
    return (
        observation.updated_at,
        PROGRESS.index(observation.status),
        observation.renews_at.timestamp() if observation.renews_at else 0.0,
        tier_rank(observation.tier),
        observation.digest,
    )


def tier_rank(tier: TierName) -> int:
    """Place of a tier in the catalogue, from the smallest to the largest."""
    names = [known.name for known in load_catalogue().tiers]
    return names.index(tier)
