"""Queries of the event streams: in the tenant's transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from services.generation.models import Job

NEWEST = 2_000  # among which those are looked for that ended of late


async def list_active(session: AsyncSession, user_id: UUID) -> Sequence[Job]:
    """The user's jobs that wait or run, the oldest first; each part has an index of its own."""
    parts = (
        (Job.state == "queued", Job.due),
        (Job.state == "queued", ~Job.due),
        (Job.state == "running",),
    )
    ids = union_all(*(select(Job.id).where(Job.user_id == user_id, *part) for part in parts))
    return (await session.scalars(select(Job).where(Job.id.in_(ids)).order_by(Job.id))).all()


async def list_jobs(session: AsyncSession, jobs: Collection[UUID]) -> Sequence[Job]:
    """Some jobs of the tenant."""
    return (await session.scalars(select(Job).where(Job.id.in_(jobs)).order_by(Job.id))).all()


async def list_ended_since(session: AsyncSession, user_id: UUID, moment: datetime) -> Sequence[Job]:
    """Of the user's newest jobs those that have ended since, in the order of their ends."""
    newest = select(Job.id).where(Job.user_id == user_id).order_by(Job.id.desc()).limit(NEWEST)
    query = select(Job).where(Job.id.in_(newest), Job.finished_at >= moment)
    return (await session.scalars(query.order_by(Job.finished_at))).all()
