"""An event of the provider, applied: each kind through the verb of its resource."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.closing import is_closed
from services.payment.lemon_squeezy.resources import (
    Document,
    InvoiceResource,
    OrderResource,
    SubscriptionResource,
    WebhookEvent,
)
from services.payment.offers import PackOffer, Shelf
from services.payment.repository import owners
from services.payment.service import closed_accounts
from services.payment.service.letters import tell_of_invoice, tell_of_order
from services.payment.service.purchases import record_invoice, record_order
from services.payment.service.standing import observe_subscription
from services.payment.stuck import UnknownUser, Unreadable

OF_SUBSCRIPTIONS = frozenset(
    f"subscription_{what}"
    for what in ("created", "updated", "cancelled", "resumed", "expired", "paused", "unpaused")
)
OF_INVOICES = frozenset(
    f"subscription_payment_{what}" for what in ("success", "failed", "recovered", "refunded")
)
OF_ORDERS = frozenset(("order_created", "order_refunded"))
HANDLED = OF_SUBSCRIPTIONS | OF_INVOICES | OF_ORDERS

Resource = TypeVar("Resource", bound=Document)


@dataclass(frozen=True)
class Applied:
    """Whose an event is, whether it told something that was not known, and whether that user was
    erased, so that no text of the event may stay."""

    user_id: UUID
    is_news: bool
    of_closed_account: bool = False


async def apply_event(
    session: AsyncSession,
    event: WebhookEvent,
    now: datetime,
    *,
    shelf: Shelf,
    assigned_to: UUID | None = None,
) -> Applied | None:
    """Everything that follows from an event, in the caller's transaction.

    None: an event that we do not handle. `assigned_to` is the user whom an admin named. Raises
    UnknownUser, UnknownVariant, Unreadable, upon which all of it is to be rolled back.
    """
    name = event.meta.event_name
    if name in OF_SUBSCRIPTIONS:
        return await apply_subscription(session, event, now, shelf, assigned_to)
    if name in OF_INVOICES:
        return await apply_invoice(session, event, now, assigned_to)
    if name in OF_ORDERS:
        return await apply_order(session, event, now, shelf, assigned_to)
    return None


async def apply_subscription(
    session: AsyncSession, event: WebhookEvent, now: datetime, shelf: Shelf, assigned: UUID | None
) -> Applied:
    """A state of a subscription."""
    resource = read(SubscriptionResource, event)
    known = await owners.owner_of_subscription(session, resource.id) or assigned
    user_id = await find_user(session, event, known, resource.attributes.customer_id)
    if await is_closed(session, user_id):
        is_news = await closed_accounts.keep_subscription(session, resource, user_id, shelf)
        return Applied(user_id, is_news, of_closed_account=True)
    is_news = await observe_subscription(session, resource, now, user_id=user_id, shelf=shelf)
    return Applied(user_id, is_news)


async def apply_invoice(
    session: AsyncSession, event: WebhookEvent, now: datetime, assigned: UUID | None
) -> Applied:
    """A payment of a subscription: made, failed or given back."""
    resource = read(InvoiceResource, event)
    told = resource.attributes
    known = await owners.owner_of_subscription(session, told.subscription_id) or assigned
    user_id = await find_user(session, event, known, told.customer_id)
    if await is_closed(session, user_id):
        is_news = await closed_accounts.keep_invoice(session, resource, user_id)
        return Applied(user_id, is_news, of_closed_account=True)
    is_news = await record_invoice(session, resource, now, user_id=user_id)
    await tell_of_invoice(session, user_id, event.meta.event_name, resource, now)
    return Applied(user_id, is_news)


async def apply_order(
    session: AsyncSession, event: WebhookEvent, now: datetime, shelf: Shelf, assigned: UUID | None
) -> Applied:
    """A purchase: made or given back."""
    resource = read(OrderResource, event)
    known = await owners.owner_of_order(session, resource.id) or assigned
    user_id = await find_user(session, event, known, resource.attributes.customer_id)
    if await is_closed(session, user_id):
        is_news = await closed_accounts.keep_order(session, resource, user_id, shelf)
        return Applied(user_id, is_news, of_closed_account=True)
    is_news = await record_order(session, resource, now, user_id=user_id, shelf=shelf)
    offer = shelf.offer_of(resource.attributes.first_order_item.variant_id)
    if isinstance(offer, PackOffer):
        await tell_of_order(session, user_id, event.meta.event_name, resource, offer, now)
    return Applied(user_id, is_news)


async def find_user(
    session: AsyncSession, event: WebhookEvent, known: UUID | None, customer_id: str
) -> UUID:
    """Whose an event is: of whom its subject is known to be, else whom the checkout named, else
    the provider's customer. Raises UnknownUser for nobody, or one without an account."""
    user_id = known or event.meta.user_id
    user_id = user_id or await owners.owner_of_customer(session, customer_id)
    if user_id is None:
        raise UnknownUser("the event names no user")
    if not await owners.has_account(session, user_id):
        raise UnknownUser(f"{user_id} has no account")
    return user_id


def read(kind: type[Resource], event: WebhookEvent) -> Resource:
    """The event's resource. Raises Unreadable with the members that are missing or wrong."""
    try:
        return kind.model_validate({"id": event.data.id, "attributes": event.data.attributes})
    except ValidationError as error:
        members = sorted({".".join(map(str, item["loc"])) for item in error.errors()})
        raise Unreadable(", ".join(members)) from error
