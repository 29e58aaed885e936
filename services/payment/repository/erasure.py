"""Queries of exporting and erasing. Sessions are of the billing role; the tenant is the user."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, delete, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.kernel.ids import new_id
from libs.privacy.collections import Collection
from services.payment.models import InboxEntry, Invoice, ObservedState, Order, Subscription
from services.payment.repository.inbox import forget_person
from services.payment.repository.subscriptions import STATE_COLUMNS

COLLECTIONS = (
    Collection("subscriptions", "billing.subscriptions"),
    Collection(
        "subscription_history",
        "billing.observations",
        key="(t.provider_id || '/' || encode(t.content_sha256, 'hex'))",
        key_type="text",
        row="to_jsonb(t) - 'content_sha256'",
    ),
    Collection("invoices", "billing.invoices", key="t.provider_id", key_type="text"),
    Collection("orders", "billing.orders", key="t.provider_id", key_type="text"),
    Collection(
        "webhooks",
        "billing.inbox",
        row="jsonb_build_object('event_name', t.event_name, 'received_at', t.received_at,"
        " 'body', convert_from(t.body, 'UTF8'))",
        owner="coalesce(t.user_id, t.named_user_id)",
    ),
    Collection("credit_account", "credits.accounts", key="t.user_id"),
    Collection("credit_grants", "credits.grants"),
    Collection("credit_transfers", "credits.transfers", key_type="bigint"),
    Collection("credit_holds", "credits.holds"),
    Collection(
        "spend_caps",
        "credits.spend_caps",
        key="(t.key_id || '/' || t.period)",
        key_type="text",
    ),
    Collection("plan", "ops.entitlements", key="t.user_id"),
)
BARE: dict[str, Any] = {
    "customer_id": "",
    "user_email": "",
    "card_brand": None,
    "card_last_four": None,
    "customer_portal_url": None,
    "update_payment_method_url": None,
    "due_at": None,
    "past_due_since": None,
    "entitled_tier": "free",
}
DELETE_TIER = text("DELETE FROM ops.entitlements WHERE user_id = :user")


async def put_bare_subscription(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Keep the newer state of an erased user's subscription, without the person; False if it
    tells nothing new."""
    told = {name: values[name] for name in STATE_COLUMNS if name in values}
    row = {**told, **BARE, "user_id": values["user_id"]}
    statement = insert(Subscription).values(id=new_id(), provider_id=values["provider_id"], **row)
    newer = Subscription.provider_updated_at < statement.excluded.provider_updated_at
    result = await session.execute(
        statement.on_conflict_do_update(
            index_elements=[Subscription.provider_id], set_=row, where=newer
        )
    )
    return cast(CursorResult[Any], result).rowcount == 1


def about(user_id: UUID) -> ColumnElement[bool]:
    """Webhooks that name the user, were assigned to them, or are about what is theirs."""
    subscriptions = select(literal("subscriptions:").concat(Subscription.provider_id))
    orders = select(literal("orders:").concat(Order.provider_id))
    return or_(
        InboxEntry.named_user_id == user_id,
        InboxEntry.user_id == user_id,
        InboxEntry.subject.in_(subscriptions.where(Subscription.user_id == user_id)),
        InboxEntry.subject.in_(orders.where(Order.user_id == user_id)),
    )


async def has_pending(session: AsyncSession, user_id: UUID) -> bool:
    """Whether a webhook about the user is still to be applied."""
    query = select(InboxEntry.id).where(InboxEntry.state == "pending", about(user_id)).limit(1)
    return await session.scalar(query) is not None


async def list_webhooks(session: AsyncSession, user_id: UUID, limit: int) -> Sequence[UUID]:
    """Webhooks with a text that are about the user, or wait for help and name their address; one
    that is pending loses its text when it is applied."""
    addresses = (
        select(ObservedState.user_email)
        .where(ObservedState.user_id == user_id, ObservedState.user_email != "")
        .distinct()
    )
    told = func.convert_from(InboxEntry.body, "UTF8")
    theirs = [about(user_id)] + [
        (InboxEntry.state == "stuck") & (func.strpos(told, address) > 0)
        for address in await session.scalars(addresses)
    ]
    has_text = (InboxEntry.body.is_not(None), InboxEntry.state != "pending")
    query = select(InboxEntry.id).where(*has_text, or_(*theirs)).limit(limit)
    return (await session.scalars(query)).all()


async def forget_webhooks(session: AsyncSession, entries: Sequence[UUID], now: Any) -> None:
    """Nobody can apply them any more, and nobody reads whom they were about."""
    stuck = update(InboxEntry).where(InboxEntry.id.in_(entries), InboxEntry.state == "stuck")
    await session.execute(stuck.values(state="ignored", applied_at=now, problem=None))
    await forget_person(session, entries)


async def forget_customer(session: AsyncSession, user_id: UUID) -> None:
    """Amounts, dates and numbers of documents stay; names, addresses, cards and links go."""
    mine = update(Subscription).where(Subscription.user_id == user_id)
    await session.execute(mine.values(BARE))
    await session.execute(delete(ObservedState).where(ObservedState.user_id == user_id))
    invoices = update(Invoice).where(Invoice.user_id == user_id)
    await session.execute(invoices.values(invoice_url=None))
    orders = update(Order).where(Order.user_id == user_id)
    await session.execute(orders.values(receipt_url=None, customer_id=""))
    await session.execute(DELETE_TIER, {"user": user_id})
