"""Billing periods on the calendar, and the monthly slices in which their credits are given."""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.tiers.catalogue import Interval, TierName
from services.payment.lifecycle_facts import MONTHS, Observation, Payment, tier_rank
from services.payment.offers import PlanOffer

# The provider writes an invoice some seconds before or after the period that it pays begins, and
# counts months of unequal length in its own way: up to three days.
CALENDAR_DIFFERENCE = timedelta(days=4)
SAME_MOMENT = timedelta(hours=1)


def shift_months(moment: datetime, months: int, day: int) -> datetime:
    """`moment` moved by months, on `day` of that month or on its last day: 31 -> 28 -> 31."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(day, last_day))


@dataclass(frozen=True)
class Slice:
    """The month whose credits are given at once; the end is excluded."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Period:
    """What one renewal pays for. `tier` is the highest that was active in it; `day` is the day of
    the month on which it is charged."""

    end: datetime
    interval: Interval
    tier: TierName
    day: int

    @property
    def start(self) -> datetime:
        return shift_months(self.end, -MONTHS[self.interval], self.day)

    @property
    def price_cents(self) -> int:
        """Its list price."""
        return PlanOffer(self.tier, self.interval).price_cents

    def slice_at(self, moment: datetime) -> Slice:
        """The monthly slice around a moment before the period's end; the first, if it is earlier.

        Slices are counted from the period's start: 31 January, 28 February, 31 March.
        """
        starts = [
            shift_months(self.end, -back, self.day) for back in range(1, MONTHS[self.interval] + 1)
        ]
        start = next((start for start in starts if start <= moment), starts[-1])
        months = starts.index(start)
        return Slice(start, shift_months(self.end, -months, self.day) if months else self.end)

    def is_paid_by(self, payment: Payment) -> bool:
        """Whether an invoice belongs to this period."""
        if payment.reason == "updated":
            return self.start - SAME_MOMENT <= payment.created_at < self.end
        return self.start <= payment.created_at + CALENDAR_DIFFERENCE < self.end


def periods_of(history: Sequence[Observation]) -> list[Period]:
    """The periods of which a history knows, in the order in which they were last told.

    Only an active subscription tells the end of what is paid. Two ends on one day are one period.
    """
    told: dict[object, list[Observation]] = {}
    for seen in history:
        if seen.status == "active" and seen.renews_at is not None:
            day = seen.renews_at.date()
            told[day] = [*told.pop(day, []), seen]
    return [make_period(seen) for seen in told.values()]


def make_period(seen: Sequence[Observation]) -> Period:
    """The period that these observations, from the oldest to the newest, speak of."""
    end = max(one.renews_at for one in seen if one.renews_at)
    return Period(
        end=end,
        interval=seen[-1].interval,
        tier=max((one.tier for one in seen), key=tier_rank),
        day=seen[-1].billing_anchor or end.day,
    )


def current_period(periods: Sequence[Period], now: datetime) -> Period | None:
    """The period around now; where none is, one that is paid early and has not begun.

    Of those that have begun, the one that was told last cut the others short: after a change to
    another interval the rest of the old period is credited by the provider, and never comes back.
    """
    begun = [period for period in periods if period.start <= now]
    if begun and now < begun[-1].end:
        return begun[-1]
    ahead = [period for period in periods if now < period.start]
    return ahead[-1] if ahead else None
