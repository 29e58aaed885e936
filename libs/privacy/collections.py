"""A user's rows as pages of an export: each table is one line of data, read in the order of a key.

A page is one statement. The cursor names the collection and the last key that was read, so that an
export goes on where it was, whatever was added meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.kernel.problems import ValidationFailed
from libs.privacy.contract import ExportedItem, ExportPage, StoredFile

PAGE_SIZE = 200


@dataclass(frozen=True)
class Collection:
    """The rows `t` of a table that belong to one user. `key` and `row` are SQL expressions."""

    name: str
    table: str
    key: str = "t.id"
    key_type: Literal["uuid", "bigint", "text"] = "uuid"
    row: str = "to_jsonb(t)"
    owner: str = "t.user_id"
    file: Callable[[dict[str, Any]], StoredFile] | None = None

    def query(self) -> str:
        """One page of rows that come after a key."""
        after = f"CAST(CAST(:after AS text) AS {self.key_type})"  # the text alone is what is sent
        return (
            f"SELECT CAST({self.key} AS text) AS key, {self.row} AS data FROM {self.table} t"
            f" WHERE {self.owner} = :user AND ({after} IS NULL OR {self.key} > {after})"
            f" ORDER BY {self.key} LIMIT :rows"
        )

    def accepts(self, after: str) -> bool:
        """Whether a text can be a key."""
        try:
            if self.key_type == "uuid":
                UUID(after)
            elif self.key_type == "bigint":
                return after.isdecimal() and int(after) < 2**63
        except ValueError:
            return False
        return "\0" not in after

    def item(self, data: dict[str, Any]) -> ExportedItem:
        """A row with its file."""
        return ExportedItem(data=data, file=self.file(data) if self.file else None)


async def read_page(
    session: AsyncSession,
    collections: Sequence[Collection],
    user_id: UUID,
    cursor: str | None,
    *,
    rows: int = PAGE_SIZE,
) -> ExportPage:
    """The page that a cursor names; None: the first. Raises ValidationFailed for a strange one."""
    name, _, after = (cursor or collections[0].name).partition(":")
    place = next((i for i, found in enumerate(collections) if found.name == name), None)
    if place is None or (after and not collections[place].accepts(after)):
        raise unknown_cursor()
    collection = collections[place]
    values = {"user": user_id, "after": after or None, "rows": rows}
    found = (await session.execute(text(collection.query()), values)).all()
    following = collections[place + 1].name if place + 1 < len(collections) else None
    return ExportPage(
        collection=name,
        items=[collection.item(row.data) for row in found],
        next_cursor=f"{name}:{found[-1].key}" if len(found) == rows else following,
    )


def unknown_cursor() -> ValidationFailed:
    """The refusal of a cursor that no page gave out."""
    message = "not a cursor that a page gave out"
    errors = [{"field": "query.cursor", "message": message}]
    return ValidationFailed(f"query.cursor: {message}", errors=errors)
