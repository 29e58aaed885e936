from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.credits.months import add_months, month_around


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("anchor", "months", "expected"),
    [
        ("2026-01-15", 1, "2026-02-15"),
        ("2026-01-31", 1, "2026-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2026-01-31", 2, "2026-03-31"),
        ("2026-12-05", 1, "2027-01-05"),
        ("2026-03-31", -1, "2026-02-28"),
        ("2026-11-30", 12, "2027-11-30"),
    ],
)
def test_a_month_later_is_the_same_day_or_the_last(anchor: str, months: int, expected: str) -> None:
    assert add_months(day(anchor), months) == day(expected)


seconds = st.integers(0, 8 * 366 * 86_400)
moments = seconds.map(lambda s: day("2024-01-01") + timedelta(seconds=s))


@given(moments, moments)
def test_the_months_of_an_anchor_cover_all_time(anchor: datetime, moment: datetime) -> None:
    begin, end = month_around(anchor, moment)
    assert begin <= moment < end
    assert month_around(anchor, begin) == (begin, end)
    assert month_around(anchor, end)[0] == end
    assert timedelta(days=28) <= end - begin <= timedelta(days=31)
