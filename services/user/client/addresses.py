"""The door for who tells a user of something by e-mail, in that user's own transaction."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

ADDRESS = text("SELECT identity.address_of_tenant()")


async def address_of_tenant(session: AsyncSession) -> str | None:
    """The tenant's address; None once the account is gone. For roles that may ask: the relay's."""
    address: str | None = await session.scalar(ADDRESS)
    return address
