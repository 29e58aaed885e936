"""Every query of the user service.

All but the first two run inside a tenant's transaction: row security shows one user's rows.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.user.models import LoginSession, RefreshToken, User

FIND_LOGIN = text("SELECT user_id, password_hash FROM identity.find_login(:email)")
FIND_TOKEN_OWNER = text("SELECT identity.find_token_owner(:token_hash)")


async def find_login(session: AsyncSession, email: str) -> Row[tuple[UUID, str]] | None:
    """`user_id` and `password_hash` of an account, before a tenant is known."""
    return (await session.execute(FIND_LOGIN, {"email": email})).one_or_none()


async def find_token_owner(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """Whose refresh token this is, before a tenant is known."""
    owner: UUID | None = await session.scalar(FIND_TOKEN_OWNER, {"token_hash": token_hash})
    return owner


async def add_user(session: AsyncSession, user: User) -> bool:
    """Insert an account; False if the e-mail address is taken."""
    row = insert(User).values(
        id=user.id,
        email=user.email,
        display_name=user.display_name,
        password_hash=user.password_hash,
        role=user.role,
        created_at=user.created_at,
    )
    inserted = row.on_conflict_do_nothing(index_elements=[User.email]).returning(User.id)
    return await session.scalar(inserted) is not None


async def get_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The tenant's account."""
    return await session.get(User, user_id)


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
