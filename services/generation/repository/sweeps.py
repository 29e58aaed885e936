"""Queries of the sweeper: what nobody looks after any more."""

from datetime import timedelta
from typing import get_args
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.tiers.catalogue import Pool
from libs.tiers.fair_rules import USE_SECONDS
from services.generation.models import Job

DELETE_OLD_KEYS = text(
    "DELETE FROM ops.idempotency_keys WHERE created_at < now() - CAST(:age AS interval)"
)
WITHOUT_LEASE = text(
    """
    SELECT j.* FROM generation.leases l
    JOIN generation.jobs j ON j.id = l.job_id AND j.attempt = l.attempt AND j.worker = l.worker
    WHERE l.until < now() AND j.state = 'running'
    ORDER BY l.until LIMIT 1 FOR UPDATE OF j SKIP LOCKED
    """
)
# Users with nothing waiting start where their tier is: what is behind that says nothing.
FORGET_FLOWS = text(
    """
    DELETE FROM generation.flows f USING generation.tier_clocks c
    WHERE c.pool = f.pool AND c.tier = f.tier AND f.head_id IS NULL AND f.tag <= c.virtual_time
        AND f.used_at < now() - :remembered_seconds * interval '1 second'
    """
)
END_REST = text(
    "UPDATE generation.jobs SET due = true WHERE state = 'queued' AND NOT due AND due_at <= now()"
    " RETURNING pool"
)
WAITING_USERS = text(
    """
    SELECT p.pool, (SELECT count(*) FROM (
        SELECT FROM generation.flows f WHERE f.pool = p.pool AND f.head_id IS NOT NULL LIMIT :most
    ) counted) AS users
    FROM unnest(CAST(:pools AS text[])) AS p(pool)
    """
)
REMEMBERED_SECONDS = 10 * USE_SECONDS  # after which next to nothing of a use is left
IDEMPOTENCY_LIFETIME = timedelta(hours=24)


async def next_without_lease(session: AsyncSession) -> Job | None:
    """A running job whose worker has stopped renewing, locked."""
    job: Job | None = await session.scalar(select(Job).from_statement(WITHOUT_LEASE))
    return job


async def next_past_deadline(session: AsyncSession) -> Job | None:
    """A queued job whose deadline has passed, locked."""
    query = select(Job).where(Job.state == "queued", Job.expires_at < func.now())
    return await session.scalar(query.limit(1).with_for_update(skip_locked=True))


async def expire(session: AsyncSession, job_id: UUID) -> None:
    """Write the final state of a job that waited too long."""
    values = {"state": "expired", "finished_at": func.now(), "captured_millicredits": 0}
    await session.execute(update(Job).where(Job.id == job_id).values(values))


async def count_waiting_users(session: AsyncSession, most: int) -> dict[str, int]:
    """Users with a due job, by pool, counted up to `most`."""
    values = {"most": most, "pools": list(get_args(Pool))}
    rows = (await session.execute(WAITING_USERS, values)).all()
    return {row.pool: row.users for row in rows}


async def end_rests(session: AsyncSession) -> int:
    """Let jobs that have rested for long enough wait again; how many."""
    return len((await session.execute(END_REST)).all())


async def forget_old_answers(session: AsyncSession) -> None:
    """Delete the stored answers of idempotent requests after a day."""
    await session.execute(DELETE_OLD_KEYS, {"age": IDEMPOTENCY_LIFETIME})


async def forget_flows(session: AsyncSession) -> None:
    """Delete the places of users who have nothing waiting and nothing that counts against them."""
    await session.execute(FORGET_FLOWS, {"remembered_seconds": REMEMBERED_SECONDS})
