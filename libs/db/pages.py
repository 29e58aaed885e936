"""Rows of one page: newest first by UUIDv7, one more than is shown to tell whether more follow."""

from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

Query = TypeVar("Query", bound=Select[Any])


def newest_first(
    query: Query, id_column: InstrumentedAttribute[UUID], *, limit: int, before: UUID | None
) -> Query:
    """Up to `limit + 1` rows that are older than `before`; see `libs.web.pagination.make_page`."""
    if before is not None:
        query = query.where(id_column < before)
    return query.order_by(id_column.desc()).limit(limit + 1)
