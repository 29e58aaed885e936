"""Queries of API keys: inside a tenant's transaction, row security shows the tenant's alone."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from libs.auth.principals import Scope
from libs.db.base import Base
from libs.db.pages import newest_first

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('api-keys/' || :user_id, 0))")


class ApiKey(Base):
    """A key, known by its SHA-256 alone."""

    __tablename__ = "api_keys"
    __table_args__ = {"schema": "ops"}

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    name: Mapped[str]
    prefix: Mapped[str]
    key_hash: Mapped[bytes]
    scopes: Mapped[list[Scope]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


async def count_live_keys(session: AsyncSession, user_id: UUID, now: datetime) -> int:
    """Keys that may be used; from here to the commit the tenant can make no other."""
    await session.execute(LOCK, {"user_id": str(user_id)})
    is_live = ApiKey.ended_at.is_(None) & (ApiKey.expires_at.is_(None) | (ApiKey.expires_at > now))
    return await session.scalar(select(func.count()).where(is_live)) or 0


async def list_keys(session: AsyncSession, *, limit: int, before: UUID | None) -> Sequence[ApiKey]:
    """Up to `limit + 1` keys, newest first; those that have ended too."""
    query = newest_first(select(ApiKey), ApiKey.id, limit=limit, before=before)
    return (await session.scalars(query)).all()


async def end_key(session: AsyncSession, key_id: UUID, now: datetime) -> bool:
    """End a key; False if the tenant has no such key, or it has ended."""
    statement = (
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.ended_at.is_(None))
        .values(ended_at=now)
        .returning(ApiKey.id)
    )
    return await session.scalar(statement) is not None
