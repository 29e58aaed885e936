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
MAX_ROW_NUMBER = 2**63 - 1  # a bigint


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
        raise unknown_cursor() from None


def unknown_cursor() -> ValidationFailed:
    """The refusal of a cursor that another list, or nobody, gave out."""
    message = "not a cursor that this list gave out"
    errors = [{"field": "query.cursor", "message": message}]
    return ValidationFailed(f"query.cursor: {message}", errors=errors)


def cursor_of_number(number: int) -> UUID:
    """The place in a list of rows that are counted by a bigint instead of named by a UUID."""
    return UUID(int=number)


def number_before(page: PageRequest) -> int | None:
    """The row number in a page's cursor. Raises ValidationFailed for the cursor of a UUID list."""
    if page.before is None:
        return None
    if page.before.int > MAX_ROW_NUMBER:
        raise unknown_cursor()
    return page.before.int


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
