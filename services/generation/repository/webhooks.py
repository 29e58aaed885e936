"""Queries of webhooks: inside a tenant's transaction, row security shows the tenant's alone."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.pages import newest_first
from libs.kernel.ids import new_id
from libs.webhooks.models import Delivery, Endpoint

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('webhooks/' || :user_id, 0))")
ADD_SECRET = text(
    """
    INSERT INTO webhooks.secrets (id, user_id, endpoint_id, secret, created_at)
    VALUES (:id, :user_id, :endpoint_id, :secret, :now)
    """
)
# The one of now expires then; what was to expire does so at once: two are valid at most.
END_SECRETS = text(
    """
    UPDATE webhooks.secrets SET expires_at = CASE WHEN expires_at IS NULL THEN :then ELSE :now END
    WHERE endpoint_id = :endpoint_id AND (expires_at IS NULL OR expires_at > :now)
    """
)
GIVE_UP = text(
    "UPDATE webhooks.deliveries SET state = 'failed', finished_at = :now"
    " WHERE endpoint_id = :endpoint_id AND state = 'pending'"
)


async def count_endpoints(session: AsyncSession, user_id: UUID) -> int:
    """How many there are; from here to the commit the tenant can make no other."""
    await session.execute(LOCK, {"user_id": str(user_id)})
    return await session.scalar(select(func.count()).select_from(Endpoint)) or 0


async def list_endpoints(
    session: AsyncSession, *, limit: int, before: UUID | None
) -> Sequence[Endpoint]:
    """Up to `limit + 1` endpoints, newest first."""
    query = newest_first(select(Endpoint), Endpoint.id, limit=limit, before=before)
    return (await session.scalars(query)).all()


async def find_endpoint(session: AsyncSession, endpoint_id: UUID) -> Endpoint | None:
    """One of the tenant's endpoints."""
    return await session.get(Endpoint, endpoint_id)


async def lock_endpoint(session: AsyncSession, endpoint_id: UUID) -> Endpoint | None:
    """One of the tenant's endpoints, locked until the transaction ends."""
    return await session.scalar(
        select(Endpoint).where(Endpoint.id == endpoint_id).with_for_update()
    )


async def delete_endpoint(session: AsyncSession, endpoint_id: UUID) -> bool:
    """Delete an endpoint with its secrets and deliveries; False if there is none."""
    deleted = delete(Endpoint).where(Endpoint.id == endpoint_id).returning(Endpoint.id)
    return await session.scalar(deleted) is not None


async def add_secret(session: AsyncSession, endpoint: Endpoint, secret: str, now: datetime) -> None:
    """The secret that signs from now on; nobody but the relay can read it again."""
    row = {"id": new_id(), "user_id": endpoint.user_id, "endpoint_id": endpoint.id}
    await session.execute(ADD_SECRET, {**row, "secret": secret, "now": now})


async def end_secrets(
    session: AsyncSession, endpoint_id: UUID, *, now: datetime, then: datetime
) -> None:
    """Let the secret of now sign until `then`, and one before it no more."""
    await session.execute(END_SECRETS, {"endpoint_id": endpoint_id, "now": now, "then": then})


async def give_up(session: AsyncSession, endpoint_id: UUID, now: datetime) -> None:
    """Nothing that waits is sent any more."""
    await session.execute(GIVE_UP, {"endpoint_id": endpoint_id, "now": now})


async def list_deliveries(
    session: AsyncSession, endpoint_id: UUID, *, limit: int, before: UUID | None
) -> Sequence[Delivery]:
    """Up to `limit + 1` deliveries to an endpoint, newest first."""
    query = select(Delivery).where(Delivery.endpoint_id == endpoint_id)
    found = newest_first(query, Delivery.id, limit=limit, before=before)
    return (await session.scalars(found)).all()


async def lock_delivery(
    session: AsyncSession, endpoint_id: UUID, delivery_id: UUID
) -> Delivery | None:
    """One delivery to an endpoint, locked until the transaction ends."""
    query = select(Delivery).where(Delivery.id == delivery_id, Delivery.endpoint_id == endpoint_id)
    return await session.scalar(query.with_for_update())
