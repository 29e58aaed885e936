"""Months on the calendar: periods that begin on the same day of each month."""

import calendar
from datetime import datetime


def add_months(anchor: datetime, months: int) -> datetime:
    """The same day and time `months` later, or that month's last day: 31 January -> 28 February.

    Always from the anchor, so that 31 January, two months later, is 31 March.
    """
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return anchor.replace(year=year, month=month + 1, day=min(anchor.day, last_day))


def month_around(anchor: datetime, moment: datetime) -> tuple[datetime, datetime]:
    """Begin (included) and end (excluded) of the anchor's month in which `moment` lies."""
    months = (moment.year - anchor.year) * 12 + moment.month - anchor.month
    while add_months(anchor, months) > moment:
        months -= 1
    return add_months(anchor, months), add_months(anchor, months + 1)
