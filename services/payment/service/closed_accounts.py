"""What the provider still tells of a user who was erased: amounts are kept, the person is not."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.telemetry.logs import get_logger
from services.payment.current import RENEWING
from services.payment.facts import invoice_values, order_values, state_values
from services.payment.lemon_squeezy.resources import (
    InvoiceResource,
    OrderResource,
    SubscriptionResource,
)
from services.payment.offers import PlanOffer, Shelf
from services.payment.repository import erasure, purchases
from services.payment.repository.owners import enter_user
from services.payment.stuck import UnknownVariant

log = get_logger(__name__)


async def keep_subscription(
    session: AsyncSession, resource: SubscriptionResource, user_id: UUID, shelf: Shelf
) -> bool:
    """Whether it renews, and nothing else; False if that was known. It gives no plan.

    One that renews is cancelled by the erasure's next look. Raises UnknownVariant.
    """
    offer = shelf.offer_of(resource.attributes.variant_id)
    if not isinstance(offer, PlanOffer):
        raise UnknownVariant(f"variant {resource.attributes.variant_id} is no plan")
    if resource.attributes.status in RENEWING:
        log.error("closed_account_renews", subscription=resource.id, user_id=str(user_id))
    await enter_user(session, user_id)
    values = {**state_values(resource, offer), "user_id": user_id}
    return await erasure.put_bare_subscription(session, values)


async def keep_invoice(session: AsyncSession, resource: InvoiceResource, user_id: UUID) -> bool:
    """A payment or refund; its credits are settled with the account's end."""
    await enter_user(session, user_id)
    values = {**invoice_values(resource), "user_id": user_id, "invoice_url": None}
    return await purchases.put_invoice(session, values)


async def keep_order(
    session: AsyncSession, resource: OrderResource, user_id: UUID, shelf: Shelf
) -> bool:
    """A purchase or its refund. Raises UnknownVariant for something that we do not sell."""
    variant = resource.attributes.first_order_item.variant_id
    offer = shelf.offer_of(variant)
    if offer is None:
        raise UnknownVariant(f"variant {variant} is no offer")
    await enter_user(session, user_id)
    bare = {"user_id": user_id, "receipt_url": None, "customer_id": ""}
    return await purchases.put_order(session, {**order_values(resource, offer), **bare})
