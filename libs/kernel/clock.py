"""Time as an argument: who needs the time is handed a clock."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time, timezone-aware, UTC: the clock that composition roots hand out."""
    return datetime.now(UTC)
