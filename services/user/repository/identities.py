"""Queries of sign-ins that are under way, and of the accounts at providers that opened accounts.

Sign-ins are nobody's yet; a provider's subject leads to its tenant; the rest runs inside that
tenant's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

FORGET_EXPIRED = text("DELETE FROM identity.oauth_attempts WHERE expires_at <= :now")
ADD_ATTEMPT = text(
    """
    INSERT INTO identity.oauth_attempts (state_hash, browser_hash, provider, return_to, expires_at)
    VALUES (:state_hash, :browser_hash, :provider, :return_to, :expires_at)
    """
)
TAKE_ATTEMPT = text(
    """
    DELETE FROM identity.oauth_attempts
    WHERE state_hash = :state_hash AND browser_hash = :browser_hash AND provider = :provider
        AND expires_at > :now
    RETURNING return_to
    """
)
FIND_OWNER = text("SELECT identity.find_identity_owner(:provider, :subject)")
DROP_PENDING = text("SELECT identity.drop_pending_registrations()")
ADD = text(
    """
    INSERT INTO identity.identities
        (id, user_id, provider, subject, email, created_at, last_used_at)
    VALUES (:id, :user_id, :provider, :subject, :email, :now, :now)
    ON CONFLICT (provider, subject) DO NOTHING
    RETURNING id
    """
)
TOUCH = text(
    """
    UPDATE identity.identities SET last_used_at = :now
    WHERE provider = :provider AND subject = :subject
    """
)
LIST = text(
    """
    SELECT id, provider, email, created_at, last_used_at FROM identity.identities
    WHERE user_id = :user_id ORDER BY created_at, id
    """
)
REMOVE = text("DELETE FROM identity.identities WHERE id = :id RETURNING provider")


@dataclass(frozen=True)
class Identity:
    """A linked account; `email` is what the provider said when it was linked."""

    id: UUID
    provider: str
    email: str
    created_at: datetime
    last_used_at: datetime


async def forget_expired_attempts(session: AsyncSession, now: datetime) -> None:
    """Delete sign-ins, anybody's, that nobody can finish any more."""
    await session.execute(FORGET_EXPIRED, {"now": now})


async def add_attempt(
    session: AsyncSession,
    *,
    state_hash: bytes,
    browser_hash: bytes,
    provider: str,
    return_to: str,
    expires_at: datetime,
) -> None:
    """A sign-in begins."""
    row = {"state_hash": state_hash, "browser_hash": browser_hash, "provider": provider}
    await session.execute(ADD_ATTEMPT, {**row, "return_to": return_to, "expires_at": expires_at})


async def take_attempt(
    session: AsyncSession, *, state_hash: bytes, browser_hash: bytes, provider: str, now: datetime
) -> str | None:
    """Where a sign-in of this browser returns to, once; None if there is no such sign-in."""
    row = {"state_hash": state_hash, "browser_hash": browser_hash, "provider": provider}
    return_to: str | None = await session.scalar(TAKE_ATTEMPT, {**row, "now": now})
    return return_to


async def find_owner(session: AsyncSession, provider: str, subject: str) -> UUID | None:
    """Whose account this provider's account opens."""
    owner: UUID | None = await session.scalar(
        FIND_OWNER, {"provider": provider, "subject": subject}
    )
    return owner


async def add_identity(
    session: AsyncSession, user_id: UUID, subject: str, identity: Identity
) -> bool:
    """Link the subject to the tenant; False if somebody did so at this moment."""
    row = {
        "id": identity.id,
        "user_id": user_id,
        "provider": identity.provider,
        "subject": subject,
        "email": identity.email,
        "now": identity.created_at,
    }
    return await session.scalar(ADD, row) is not None


async def touch(session: AsyncSession, provider: str, subject: str, now: datetime) -> None:
    """It was used."""
    await session.execute(TOUCH, {"provider": provider, "subject": subject, "now": now})


async def list_identities(session: AsyncSession, user_id: UUID) -> Sequence[Identity]:
    """The tenant's linked accounts, oldest first."""
    rows = await session.execute(LIST, {"user_id": user_id})
    return [Identity(*row) for row in rows]


async def remove_identity(session: AsyncSession, identity_id: UUID) -> str | None:
    """Unlink; the provider, or None if the tenant has no such link."""
    provider: str | None = await session.scalar(REMOVE, {"id": identity_id})
    return provider


async def drop_pending_registrations(session: AsyncSession) -> None:
    """Registrations of the tenant's address that still wait are void."""
    await session.execute(DROP_PENDING)
