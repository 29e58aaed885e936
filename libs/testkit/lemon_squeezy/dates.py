"""Billing dates: whole months from an anchor day, and the time format of the API."""

from calendar import monthrange
from datetime import UTC, datetime

from libs.testkit.lemon_squeezy.catalogue import Interval

MONTHS: dict[Interval, int] = {"month": 1, "year": 12}


def stamp(moment: datetime) -> str:
    """A time as the API writes it: UTC, whole seconds, six zeros."""
    return f"{moment.isoformat()[:19]}.000000Z"


def optional_stamp(moment: datetime | None) -> str | None:
    return None if moment is None else stamp(moment)


def parse_time(text: str) -> datetime:
    """Any ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return whole_second(moment.astimezone(UTC))


def whole_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def on_day(moment: datetime, months: int, day: int) -> datetime:
    """`moment` moved by `months`, on `day` of that month or on its last day if it is shorter."""
    years, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return moment.replace(
        year=years, month=month + 1, day=min(day, monthrange(years, month + 1)[1])
    )


def next_period_end(start: datetime, interval: Interval, anchor_day: int) -> datetime:
    """The end of the billing period that begins at `start`."""
    return on_day(start, MONTHS[interval], anchor_day)


def next_occurrence(moment: datetime, day: int) -> datetime:
    """The next time that a month has its `day` after `moment`."""
    here = on_day(moment, 0, day)
    return here if here > moment else on_day(moment, 1, day)
