"""What every owner of personal data answers about one user: pages to export, and an erasure.

GET    /internal/v1/users/{user_id}/export?cursor=    ExportPage
DELETE /internal/v1/users/{user_id}                   204 gone; 202 Waiting: ask again
"""

from typing import Any

from pydantic import BaseModel

PREFIX = "/internal/v1/users/{user_id}"


class StoredFile(BaseModel):
    """An object that belongs to an item: its key in the store, its name in the archive."""

    key: str
    name: str


class ExportedItem(BaseModel):
    """One row as JSON, and the object that it tells of."""

    data: dict[str, Any]
    file: StoredFile | None = None


class ExportPage(BaseModel):
    """Some items of one collection. `next_cursor` is null on the last page of the last one."""

    collection: str
    items: list[ExportedItem]
    next_cursor: str | None = None


class Waiting(BaseModel):
    """The erasure is under way; `waits_for` says what has to end first."""

    waits_for: str
