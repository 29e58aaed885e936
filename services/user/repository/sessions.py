"""Queries of login sessions and their refresh tokens.

All but `find_token_owner` run inside a tenant's transaction: row security shows one user's rows.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

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


async def revoke_session(session: AsyncSession, token_hash: bytes, now: datetime) -> None:
    """End the session of a refresh token; one that has ended stays as it is."""
    of_token = select(RefreshToken.session_id).where(RefreshToken.token_hash == token_hash)
    await session.execute(
        update(LoginSession)
        .where(LoginSession.id.in_(of_token), LoginSession.revoked_at.is_(None))
        .values(revoked_at=now)
    )


async def forget_expired_tokens(session: AsyncSession, session_id: UUID, now: datetime) -> None:
    """Delete tokens of a session that nobody can use any more."""
    await session.execute(
        delete(RefreshToken).where(
            RefreshToken.session_id == session_id, RefreshToken.expires_at <= now
        )
    )
