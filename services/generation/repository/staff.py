"""Queries of administrators. They show others' jobs after `open_view` alone, and to whom the
database knows as an administrator now: `identity.tenant_is_staff`."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.generation.models import Job
from services.generation.queue_schemas import DeadLetter, WorkerState

OPEN_VIEW = text("SELECT set_config('app.staff_view', 'on', true)")
DEAD_LETTERS = text("SELECT * FROM generation.dead_letters(:limit, CAST(:before AS uuid))")
FIND_OWNER = text("SELECT generation.find_owner(:job)")
WORKERS = text(
    "SELECT name, pools, slots, models, started_at, seen_at FROM generation.workers ORDER BY name"
)
REQUEUE = text(
    """
    UPDATE generation.jobs SET state = 'queued', hold_id = :hold, failures = 0, error = NULL,
        finished_at = NULL, captured_millicredits = NULL, images_done = 0, worker = NULL,
        due = true, due_at = now(), estimate = NULL,
        expires_at = CASE WHEN expires_at > now() THEN expires_at END,
        marks = marks || jsonb_build_array(jsonb_build_object(
            'name', 'failed', 'at', finished_at
        ), jsonb_build_object('name', 'queued', 'at', clock_timestamp(), 'reason', 'requeued'))
    WHERE id = :id
    """
)


async def open_view(session: AsyncSession) -> None:
    """Let this transaction, of an administrator, see everybody's jobs by the functions here."""
    await session.execute(OPEN_VIEW)


async def list_dead_letters(
    session: AsyncSession, *, limit: int, before: UUID | None
) -> Sequence[DeadLetter]:
    """Up to `limit + 1` jobs that have failed, newest first."""
    rows = await session.execute(DEAD_LETTERS, {"limit": limit + 1, "before": before})
    return [DeadLetter.model_validate(dict(row._mapping)) for row in rows]


async def find_owner(session: AsyncSession, job_id: UUID) -> UUID | None:
    """Whose a job is."""
    owner: UUID | None = await session.scalar(FIND_OWNER, {"job": job_id})
    return owner


async def list_workers(session: AsyncSession) -> list[WorkerState]:
    """Workers that were heard of within the last hour."""
    rows = await session.execute(WORKERS)
    return [WorkerState.model_validate(dict(row._mapping)) for row in rows]


async def requeue(session: AsyncSession, job: Job, hold_id: UUID) -> None:
    """Queue a failed job of the tenant, which is locked, again, paid by another hold."""
    await session.execute(REQUEUE, {"id": job.id, "hold": hold_id})
    await session.refresh(job)
