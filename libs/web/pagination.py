"""Cursor pagination: newest first, by UUIDv7, so a page never shifts under new rows."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel

from libs.kernel.problems import ValidationFailed

Item = TypeVar("Item")
Row = TypeVar("Row")
MAX_PAGE_SIZE = 100


class Page(BaseModel, Generic[Item]):
    """One page; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None = None


class PageRequest(BaseModel):
    """What a list route was asked for: `limit` rows that are older than `before`."""

    limit: int
    before: UUID | None


def encode_cursor(last: UUID) -> str:
    """An opaque, URL-safe cursor (22 characters)."""
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


def decode_cursor(cursor: str) -> UUID:
    """The id in a cursor. Raises ValidationFailed naming `query.cursor`."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error):
        message = "not a cursor that this service gave out"
        raise ValidationFailed(
            f"query.cursor: {message}", errors=[{"field": "query.cursor", "message": message}]
        ) from None


def page_request(
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="Rows in a page")] = 20,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
) -> PageRequest:
    """FastAPI dependency for `?limit=&cursor=`."""
    return PageRequest(limit=limit, before=decode_cursor(cursor) if cursor else None)


PageQuery = Annotated[PageRequest, Depends(page_request)]


def make_page(
    rows: Sequence[Row], limit: int, to_item: Callable[[Row], Item], id_of: Callable[[Row], UUID]
) -> Page[Item]:
    """A page from up to `limit + 1` rows: the extra one only tells that there is more."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(
        items=[to_item(row) for row in shown],
        next_cursor=encode_cursor(id_of(shown[-1])) if more else None,
    )
