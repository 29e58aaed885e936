"""When a delivery is tried again, and when an endpoint is given up: pure rules."""

from collections.abc import Callable
from datetime import timedelta

# The rest after each failed try: ten tries within 23.7 hours.
RESTS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 120, 600, 1_800, 3_600, 10_800, 25_200, 43_200)
)
MAX_TRIES = len(RESTS) + 1
JITTER = 0.2  # of the rest, to either side: what failed together does not come back together
LONGEST_WISH = timedelta(hours=12)  # of a `Retry-After`
GIVEN_UP_AFTER = timedelta(days=3)  # without one success
GONE = 410

Chance = Callable[[], float]  # a number of [0, 1), each as likely as the other


def is_success(status: int | None) -> bool:
    """Any 2xx; a redirect is a failure (Standard Webhooks, "Delivery success and failure")."""
    return status is not None and 200 <= status < 300


def rest_after(tries: int, wish: timedelta | None, chance: Chance) -> timedelta | None:
    """How long to wait after the `tries`-th try has failed; None: it was the last.

    `wish` is what the other side's `Retry-After` asks for; it makes the rest longer, never shorter.
    """
    if tries >= MAX_TRIES:
        return None
    rest = RESTS[tries - 1] * (1 + JITTER * (2 * chance() - 1))
    return rest if wish is None else max(rest, min(wish, LONGEST_WISH))


def read_retry_after(value: str | None) -> timedelta | None:
    """`Retry-After` in seconds (RFC 9110, section 10.2.3); None for a date or nonsense."""
    if value is None or not (value.isascii() and value.isdecimal()) or len(value) > 9:
        return None
    return timedelta(seconds=int(value))
