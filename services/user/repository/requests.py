"""Queries of what waits for an answer by e-mail: registrations and password resets.

A token leads to its tenant; everything else runs inside that tenant's transaction.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.user.models import PasswordReset, PendingRegistration

FIND_PENDING_OWNER = text("SELECT identity.find_pending_owner(:token_hash)")
FIND_RESET_OWNER = text("SELECT identity.find_reset_owner(:token_hash)")
FORGET_EXPIRED = text("SELECT identity.forget_expired_requests()")


async def forget_expired(session: AsyncSession) -> None:
    """Delete requests, anybody's, that nobody can use any more."""
    await session.execute(FORGET_EXPIRED)


async def find_pending_owner(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """Who is waiting behind this token."""
    owner: UUID | None = await session.scalar(FIND_PENDING_OWNER, {"token_hash": token_hash})
    return owner


async def count_try(
    session: AsyncSession, token_hash: bytes, *, allowed: int, now: datetime
) -> PendingRegistration | None:
    """The registration, with one more try counted; None if it has ended or has had its tries."""
    counted = (
        update(PendingRegistration)
        .where(
            PendingRegistration.token_hash == token_hash,
            PendingRegistration.tries < allowed,
            PendingRegistration.expires_at > now,
        )
        .values(tries=PendingRegistration.tries + 1)
        .returning(PendingRegistration)
    )
    return (await session.scalars(counted)).one_or_none()


async def take_pending(session: AsyncSession, token_hash: bytes) -> bool:
    """Delete a registration; False if somebody else has taken it."""
    taken = (
        delete(PendingRegistration)
        .where(PendingRegistration.token_hash == token_hash)
        .returning(PendingRegistration.token_hash)
    )
    return await session.scalar(taken) is not None


async def put_reset(session: AsyncSession, reset: PasswordReset) -> None:
    """The tenant's one open reset, in place of the one before."""
    values = {
        "token_hash": reset.token_hash,
        "created_at": reset.created_at,
        "expires_at": reset.expires_at,
    }
    added = insert(PasswordReset).values(user_id=reset.user_id, **values)
    await session.execute(
        added.on_conflict_do_update(index_elements=[PasswordReset.user_id], set_=values)
    )


async def find_reset_owner(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """Whose password this token may set."""
    owner: UUID | None = await session.scalar(FIND_RESET_OWNER, {"token_hash": token_hash})
    return owner


async def take_reset(session: AsyncSession, token_hash: bytes, now: datetime) -> bool:
    """Delete a reset; False if it was taken, replaced, or has expired."""
    taken = (
        delete(PasswordReset)
        .where(PasswordReset.token_hash == token_hash, PasswordReset.expires_at > now)
        .returning(PasswordReset.user_id)
    )
    return await session.scalar(taken) is not None


async def drop_reset(session: AsyncSession, user_id: UUID) -> None:
    """Delete the tenant's reset, if there is one."""
    await session.execute(delete(PasswordReset).where(PasswordReset.user_id == user_id))
