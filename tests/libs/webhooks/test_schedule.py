"""The rests between tries: about ten within a day, spread by chance, never shorter than asked."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.webhooks.schedule import (
    GIVEN_UP_AFTER,
    JITTER,
    LONGEST_WISH,
    MAX_TRIES,
    RESTS,
    is_success,
    read_retry_after,
    rest_after,
)

chances = st.floats(0, 1, exclude_max=True)


def test_a_message_is_tried_for_about_a_day() -> None:
    assert MAX_TRIES == 10
    assert timedelta(hours=20) < sum(RESTS, timedelta()) < timedelta(hours=28)
    assert list(RESTS) == sorted(RESTS)
    assert sum(RESTS, timedelta()) < GIVEN_UP_AFTER


@given(st.integers(1, MAX_TRIES - 1), chances)
def test_chance_moves_a_rest_by_a_fifth_at_most(tries: int, chance: float) -> None:
    rest = rest_after(tries, None, lambda: chance)
    assert rest is not None
    assert abs(rest - RESTS[tries - 1]) <= RESTS[tries - 1] * JITTER


def test_chance_spreads() -> None:
    assert rest_after(5, None, lambda: 0.0) != rest_after(5, None, lambda: 0.9)


def test_the_last_try_is_followed_by_none() -> None:
    assert rest_after(MAX_TRIES, timedelta(seconds=1), lambda: 0.5) is None


@given(st.integers(1, MAX_TRIES - 1), st.integers(0, 10**9), chances)
def test_a_wish_makes_a_rest_longer_within_limits(tries: int, wish: int, chance: float) -> None:
    plain = rest_after(tries, None, lambda: chance)
    wished = rest_after(tries, timedelta(seconds=wish), lambda: chance)
    assert plain is not None and wished is not None
    assert plain <= wished <= max(plain, LONGEST_WISH)
    assert wished >= min(timedelta(seconds=wish), LONGEST_WISH)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("120", 120), (None, None), ("", None), ("-1", None), ("1e9", None)]
    + [("Wed, 21 Oct 2026 07:28:00 GMT", None), ("9" * 400, None), ("²", None)],
)
def test_only_seconds_are_a_wish(value: str | None, seconds: int | None) -> None:
    wanted = None if seconds is None else timedelta(seconds=seconds)
    assert read_retry_after(value) == wanted


def test_only_2xx_is_success() -> None:
    good = [status for status in range(100, 600) if is_success(status)]
    assert good == list(range(200, 300))
    assert not is_success(None)
