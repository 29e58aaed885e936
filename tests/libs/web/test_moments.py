"""Moments are what RFC 3339 writes."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from libs.web.moments import Moment

MOMENT = TypeAdapter[datetime](Moment)


def test_a_moment_is_read_in_utc() -> None:
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert MOMENT.validate_python("2026-11-01T12:00:00Z") == noon
    assert MOMENT.validate_python("2026-11-01T21:00:00+09:00").tzinfo == UTC


@pytest.mark.parametrize(
    "given",
    [16, 16.5, "16", "1e9", "nan", True, "2026-11-01T12:00:00", "0001-01-01T00:00:00+09:00"],
)
def test_anything_else_is_refused(given: object) -> None:
    """Numbers above all: they would be seconds since 1970."""
    with pytest.raises(ValidationError):
        MOMENT.validate_python(given)
