"""The inbox of webhooks."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.payment.models import InboxEntry


async def add_entry(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Keep a webhook; False if its content is known."""
    statement = insert(InboxEntry).values(values)
    once = statement.on_conflict_do_nothing(index_elements=[InboxEntry.body_sha256])
    return cast(CursorResult[Any], await session.execute(once)).rowcount == 1


async def claim_pending(session: AsyncSession, now: datetime) -> InboxEntry | None:
    """The entry that is due the longest and that nobody else applies, locked."""
    query = (
        select(InboxEntry)
        .where(InboxEntry.state == "pending", InboxEntry.next_try_at <= now)
        .order_by(InboxEntry.next_try_at, InboxEntry.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return await session.scalar(query)


async def finish_entry(session: AsyncSession, entry_id: UUID, **values: Any) -> None:
    """Write what became of an entry."""
    await session.execute(update(InboxEntry).where(InboxEntry.id == entry_id).values(values))


async def release_subject(session: AsyncSession, subject: str, now: datetime) -> None:
    """Try again what was stuck because nobody knew whose the subject is."""
    await session.execute(
        update(InboxEntry)
        .where(
            InboxEntry.state == "stuck",
            InboxEntry.subject == subject,
            InboxEntry.problem.startswith("unknown-user"),
        )
        .values(state="pending", next_try_at=now, attempts=0, problem=None)
    )


async def forget_person(session: AsyncSession, entries: Sequence[UUID]) -> None:
    """Keep only that these entries came: their hash still tells a repeat."""
    values = {"body": None, "user_id": None, "named_user_id": None}
    await session.execute(update(InboxEntry).where(InboxEntry.id.in_(entries)).values(values))


async def lock_entry(session: AsyncSession, entry_id: UUID) -> InboxEntry | None:
    """An entry, locked until the transaction ends."""
    return await session.get(InboxEntry, entry_id, with_for_update=True)


async def list_entries(
    session: AsyncSession, *, state: str, limit: int, before: UUID | None
) -> Sequence[InboxEntry]:
    """Up to `limit + 1` entries of a state, newest first."""
    query = select(InboxEntry).where(InboxEntry.state == state)
    if before is not None:
        query = query.where(InboxEntry.id < before)
    return (await session.scalars(query.order_by(InboxEntry.id.desc()).limit(limit + 1))).all()


async def measure(session: AsyncSession, now: datetime) -> tuple[int, timedelta]:
    """How many entries are stuck, and how long the oldest has waited to be applied."""
    stuck = await session.scalar(
        select(func.count()).select_from(InboxEntry).where(InboxEntry.state == "stuck")
    )
    oldest = await session.scalar(
        select(func.min(InboxEntry.received_at)).where(InboxEntry.state == "pending")
    )
    return stuck or 0, now - oldest if oldest else timedelta(0)
