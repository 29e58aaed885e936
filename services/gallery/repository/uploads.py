"""Queries of uploads under way and of what is stored: row security shows the tenant's alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.gallery.models import Image, Upload

UNDER_WAY = Upload.ended_at.is_(None)
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('storage/' || :user_id, 0))")


@dataclass(frozen=True)
class Usage:
    """Bytes of a user's images and of unfinished uploads, and the number of these."""

    used_bytes: int
    reserved_bytes: int
    uploads: int


async def lock_storage(session: AsyncSession, user_id: UUID) -> None:
    """Let one transaction at a time add to a user's storage."""
    await session.execute(LOCK, {"user_id": str(user_id)})


async def measure_storage(session: AsyncSession, user_id: UUID) -> Usage:
    """What the user stores and has asked to store."""
    images = select(func.coalesce(func.sum(Image.size_bytes), 0)).where(Image.user_id == user_id)
    uploads = select(func.coalesce(func.sum(Upload.size_bytes), 0), func.count())
    used = await session.scalar(images)
    reserved, count = (
        await session.execute(uploads.where(Upload.user_id == user_id, UNDER_WAY))
    ).one()
    return Usage(int(used or 0), int(reserved), count)


async def find_upload(session: AsyncSession, upload_id: UUID) -> Upload | None:
    """One of the tenant's uploads under way."""
    return await session.scalar(select(Upload).where(Upload.id == upload_id, UNDER_WAY))


async def end_upload(session: AsyncSession, upload_id: UUID) -> bool:
    """End an upload; False if it has ended already."""
    ended = update(Upload).where(Upload.id == upload_id, UNDER_WAY).values(ended_at=func.now())
    return await session.scalar(ended.returning(Upload.id)) is not None


async def forget_upload(session: AsyncSession, upload_id: UUID) -> None:
    """Delete an upload whose URL has expired."""
    await session.execute(delete(Upload).where(Upload.id == upload_id))


async def next_end(session: AsyncSession, user_id: UUID) -> datetime | None:
    """When the first of the user's uploads expires."""
    query = select(func.min(Upload.expires_at)).where(Upload.user_id == user_id, UNDER_WAY)
    return await session.scalar(query)


async def list_abandoned(session: AsyncSession, limit: int) -> Sequence[Upload]:
    """Uploads of anybody that expired a while ago: without a tenant these alone are visible."""
    query = select(Upload).order_by(Upload.expires_at).limit(limit)
    return (await session.scalars(query)).all()
