"""Queries of exporting and erasing: inside the transaction of the user whom it is about."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.privacy.collections import Collection
from services.generation.models import FINAL_STATES, Job

# The machine that drew it is ours, not theirs.
COLLECTIONS = (
    Collection("jobs", "generation.jobs", row="to_jsonb(t) - 'worker'"),
    Collection("webhooks", "webhooks.endpoints"),
    Collection("webhook_deliveries", "webhooks.deliveries", row="to_jsonb(t) - 'leased_until'"),
)
OUTBOX_NAMES_TENANT = text("SELECT ops.outbox_names_tenant()")
DELETE_WEBHOOKS = text("DELETE FROM webhooks.endpoints WHERE user_id = :user")
DELETE_FLOWS = text("DELETE FROM generation.flows WHERE user_id = :user")


async def delete_webhooks(session: AsyncSession, user_id: UUID) -> None:
    """Delete the user's endpoints, and with them secrets and deliveries: nothing more is sent."""
    await session.execute(DELETE_WEBHOOKS, {"user": user_id})


async def list_unfinished(session: AsyncSession, user_id: UUID, limit: int) -> Sequence[UUID]:
    """Jobs that wait or run."""
    query = select(Job.id).where(Job.user_id == user_id, Job.state.not_in(FINAL_STATES))
    return (await session.scalars(query.limit(limit))).all()


async def outbox_names_tenant(session: AsyncSession) -> bool:
    """Whether messages about the tenant still wait to be sent."""
    return bool(await session.scalar(OUTBOX_NAMES_TENANT))


async def list_ended(session: AsyncSession, user_id: UUID, limit: int) -> Sequence[UUID]:
    """Jobs that have ended, the oldest first."""
    query = select(Job.id).where(Job.user_id == user_id, Job.state.in_(FINAL_STATES))
    return (await session.scalars(query.order_by(Job.id).limit(limit))).all()


async def delete_jobs(session: AsyncSession, jobs: Sequence[UUID]) -> None:
    """Delete jobs of the tenant."""
    await session.execute(delete(Job).where(Job.id.in_(jobs), Job.state.in_(FINAL_STATES)))


async def delete_flows(session: AsyncSession, user_id: UUID) -> None:
    """Forget what fair queueing knows of the user."""
    await session.execute(DELETE_FLOWS, {"user": user_id})
