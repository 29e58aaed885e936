"""Queries of accounts.

All but `find_login` run inside a tenant's transaction: row security shows one user's rows.
"""

from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.user.models import User

FIND_LOGIN = text("SELECT user_id, password_hash FROM identity.find_login(:email)")


async def find_login(session: AsyncSession, email: str) -> Row[tuple[UUID, str | None]] | None:
    """`user_id` and `password_hash` of an account, before a tenant is known."""
    return (await session.execute(FIND_LOGIN, {"email": email})).one_or_none()


async def add_user(session: AsyncSession, user: User) -> bool:
    """Insert an account; False if the e-mail address is taken."""
    row = insert(User).values(
        id=user.id,
        email=user.email,
        display_name=user.display_name,
        password_hash=user.password_hash,
        role=user.role,
        created_at=user.created_at,
        email_verified_at=user.email_verified_at,
    )
    inserted = row.on_conflict_do_nothing(index_elements=[User.email]).returning(User.id)
    return await session.scalar(inserted) is not None


async def get_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The tenant's account."""
    return await session.get(User, user_id)


async def lock_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The tenant's account; whoever changes who may enter it waits for this transaction."""
    return await session.scalar(
        select(User).where(User.id == user_id).with_for_update(key_share=True)
    )
