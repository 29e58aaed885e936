"""Queries of login sessions and their refresh tokens.

All but `find_token_owner` run inside a tenant's transaction: row security shows one user's rows.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.pages import newest_first
from services.user.models import LoginSession, RefreshToken

FIND_TOKEN_OWNER = text("SELECT identity.find_token_owner(:token_hash)")


async def find_token_owner(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """Whose refresh token this is, before a tenant is known."""
    owner: UUID | None = await session.scalar(FIND_TOKEN_OWNER, {"token_hash": token_hash})
    return owner


async def lock_token(
    session: AsyncSession, token_hash: bytes
) -> tuple[RefreshToken, LoginSession] | None:
    """A refresh token and its session, both locked: a family rotates one step at a time."""
    query = (
        select(RefreshToken, LoginSession)
        .join(LoginSession, LoginSession.id == RefreshToken.session_id)
        .where(RefreshToken.token_hash == token_hash)
        .with_for_update()
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1])


async def session_of_token(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """The login session that a refresh token belongs to."""
    query = select(RefreshToken.session_id).where(RefreshToken.token_hash == token_hash)
    found: UUID | None = await session.scalar(query)
    return found


async def keep_alive(session: AsyncSession, session_id: UUID) -> bool:
    """Let nobody end a session before this transaction has ended; False if it has ended."""
    query = select(LoginSession.id).where(
        LoginSession.id == session_id, LoginSession.revoked_at.is_(None)
    )
    return await session.scalar(query.with_for_update(read=True)) is not None


async def list_live(
    session: AsyncSession,
    user_id: UUID,
    *,
    begun_after: datetime,
    used_after: datetime,
    limit: int,
    before: UUID | None,
) -> Sequence[LoginSession]:
    """The user's sessions that have not ended, newest first; one more than `limit`."""
    query = select(LoginSession).where(
        LoginSession.user_id == user_id,
        LoginSession.revoked_at.is_(None),
        LoginSession.created_at > begun_after,
        LoginSession.refreshed_at > used_after,
    )
    page = newest_first(query, LoginSession.id, limit=limit, before=before)
    return (await session.scalars(page)).all()


async def revoke(
    session: AsyncSession,
    user_id: UUID,
    now: datetime,
    *,
    only: UUID | None = None,
    but: UUID | None = None,
) -> Sequence[UUID]:
    """End the user's sessions, or one, or all but one; those that had not ended before."""
    ending = update(LoginSession).where(
        LoginSession.user_id == user_id, LoginSession.revoked_at.is_(None)
    )
    if only is not None:
        ending = ending.where(LoginSession.id == only)
    if but is not None:
        ending = ending.where(LoginSession.id != but)
    return (await session.scalars(ending.values(revoked_at=now).returning(LoginSession.id))).all()


async def forget_ended(session: AsyncSession, user_id: UUID, begun_before: datetime) -> None:
    """Delete the user's sessions that began so long ago that none of them can be alive."""
    await session.execute(
        delete(LoginSession).where(
            LoginSession.user_id == user_id, LoginSession.created_at <= begun_before
        )
    )


async def forget_expired_tokens(session: AsyncSession, session_id: UUID, now: datetime) -> None:
    """Delete tokens of a session that nobody can use any more."""
    await session.execute(
        delete(RefreshToken).where(
            RefreshToken.session_id == session_id, RefreshToken.expires_at <= now
        )
    )
