"""The free tier's monthly credits: how much, until when, and the key that grants them once."""

import calendar
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.credits.pricing import MILLI
from libs.tiers.catalogue import DEFAULT_TIER, load_catalogue


@dataclass(frozen=True)
class FreeGrant:
    """One month of free credits, in milli-credits."""

    key: str
    amount: int
    expires_at: datetime


def free_grant(user_id: UUID, now: datetime) -> FreeGrant:
    """The grant of the month that begins now."""
    return FreeGrant(
        key=f"free:{user_id}:{now:%Y-%m}",
        amount=load_catalogue().tier(DEFAULT_TIER).credits_month * MILLI,
        expires_at=one_month_after(now),
    )


def one_month_after(moment: datetime) -> datetime:
    """The same day and time of the next month, or its last day: 31 January -> 28 February."""
    year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    last_day = calendar.monthrange(year, month)[1]
    return moment.replace(year=year, month=month, day=min(moment.day, last_day))
