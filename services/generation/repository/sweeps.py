"""Queries of the sweeper: what nobody looks after any more."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.generation.models import Job

DELETE_OLD_KEYS = text(
    "DELETE FROM ops.idempotency_keys WHERE created_at < now() - CAST(:age AS interval)"
)
IDEMPOTENCY_LIFETIME = timedelta(hours=24)


async def next_without_lease(session: AsyncSession) -> Job | None:
    """A running job whose worker has stopped renewing, locked."""
    query = select(Job).where(Job.state == "running", Job.lease_until < func.now())
    return await session.scalar(query.limit(1).with_for_update(skip_locked=True))


async def next_past_deadline(session: AsyncSession) -> Job | None:
    """A queued job whose deadline has passed, locked."""
    query = select(Job).where(Job.state == "queued", Job.expires_at < func.now())
    return await session.scalar(query.limit(1).with_for_update(skip_locked=True))


async def expire(session: AsyncSession, job_id: UUID) -> None:
    """Write the final state of a job that waited too long."""
    values = {"state": "expired", "finished_at": func.now(), "captured_millicredits": 0}
    await session.execute(update(Job).where(Job.id == job_id).values(values))


async def count_due(session: AsyncSession) -> dict[str, int]:
    """Queued jobs that could start now, by pool."""
    query = (
        select(Job.pool, func.count().label("due"))
        .where(Job.state == "queued", Job.due_at <= func.now())
        .group_by(Job.pool)
    )
    return {row.pool: row.due for row in (await session.execute(query)).all()}


async def forget_old_answers(session: AsyncSession) -> None:
    """Delete the stored answers of idempotent requests after a day."""
    await session.execute(DELETE_OLD_KEYS, {"age": IDEMPOTENCY_LIFETIME})
