"""Invoices and orders: kept as they were told last, with the credits that follow."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.payment.facts import invoice_values, order_values
from services.payment.lemon_squeezy.resources import InvoiceResource, OrderResource
from services.payment.offers import Shelf
from services.payment.repository import grants, purchases
from services.payment.repository.owners import enter_user
from services.payment.service.grants import settle_grants
from services.payment.service.standing import settle_user
from services.payment.stuck import UnknownVariant
from services.payment.top_ups import due_top_up


async def record_invoice(
    session: AsyncSession, resource: InvoiceResource, now: datetime, *, user_id: UUID
) -> bool:
    """Keep an invoice of a subscription, and settle what its payment or refund changes.

    False if what is known is as new.
    """
    await enter_user(session, user_id)
    values = {**invoice_values(resource), "user_id": user_id}
    is_news = await purchases.put_invoice(session, values)
    if is_news:
        await settle_user(session, user_id, now)
    return is_news


async def record_order(
    session: AsyncSession,
    resource: OrderResource,
    now: datetime,
    *,
    user_id: UUID,
    shelf: Shelf,
) -> bool:
    """Keep an order, and give or take back the credits of a pack.

    False if what is known is as new. Raises UnknownVariant for something that we do not sell.
    """
    variant = resource.attributes.first_order_item.variant_id
    offer = shelf.offer_of(variant)
    if offer is None:
        raise UnknownVariant(f"variant {variant} is no offer")
    await enter_user(session, user_id)
    values = {**order_values(resource, offer), "user_id": user_id}
    is_news = await purchases.put_order(session, values)
    if is_news:
        await settle_order(session, resource.id, user_id, now)
    return is_news


async def settle_order(session: AsyncSession, order_id: str, user_id: UUID, now: datetime) -> None:
    """Make the grant of a pack what its order, as it was told last, gives."""
    order = await purchases.get_order(session, order_id)
    if order.pack is None:
        return
    due = due_top_up(
        order_id,
        order.pack,
        status=order.status,
        total_cents=order.total_cents,
        refunded_cents=order.refunded_cents,
    )
    known = await grants.known_grants(session, user_id, ("top_up",), now)
    own = [grant for grant in known if grant.occasion == f"topup:{order_id}"]
    await settle_grants(session, user_id, due, own, ending="refunded", now=now)
