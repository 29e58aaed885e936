"""Moments that people and programs send: RFC 3339 with an offset, and nothing else."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator


def refuse_numbers(value: object) -> object:
    """Raises ValueError for a number, which would be taken for seconds since 1970."""
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return value
    raise ValueError("must be a time such as 2026-11-01T12:00:00Z")


def to_utc(moment: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError where the calendar does not reach."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(to_utc), BeforeValidator(refuse_numbers)]
