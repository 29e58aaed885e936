"""E-mails about payments: queued with the work that they tell of."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.closing import is_closed
from libs.mail.letters import queue_letter
from services.payment import emails
from services.payment.facts import refunded_cents
from services.payment.lemon_squeezy.resources import (
    InvoiceResource,
    OrderResource,
    SubscriptionResource,
)
from services.payment.offers import PackOffer, PlanOffer
from services.payment.repository.owners import enter_user
from services.payment.repository.subscriptions import list_renewing


async def tell_of_subscription(
    session: AsyncSession,
    user_id: UUID,
    resource: SubscriptionResource,
    offer: PlanOffer,
    now: datetime,
) -> None:
    """Its trial has begun, it was cancelled, or it has ended."""
    told = resource.attributes
    if told.status == "on_trial" and told.trial_ends_at is not None:
        letter = emails.trial_started(resource.id, offer.tier, told.trial_ends_at)
        await queue_letter(session, user_id, told.user_email, letter, now)
    if told.status == "cancelled" and told.ends_at is not None:
        letter = emails.cancelled(resource.id, offer.tier, told.ends_at)
        await queue_letter(session, user_id, told.user_email, letter, now)
    if told.status == "expired":
        letter = emails.ended(resource.id, offer.tier)
        await queue_letter(session, user_id, told.user_email, letter, now)


async def tell_of_duplicates(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    """Each subscription that renews beside an older one, once for ever.

    Told by the clock and not with the events: those come in any order, and a plan that has ended
    would look like a second one until its end is told.
    """
    await enter_user(session, user_id)
    if await is_closed(session, user_id):
        return
    renewing = await list_renewing(session, user_id)
    for other in renewing[1:]:
        letter = emails.charged_twice(other.provider_id, other.tier, renewing[0].tier)
        await queue_letter(session, user_id, other.user_email, letter, now)


async def tell_of_invoice(
    session: AsyncSession, user_id: UUID, event: str, resource: InvoiceResource, now: datetime
) -> None:
    """It was paid, could not be paid, or was refunded. What cost nothing is not worth a letter."""
    told, letter = resource.attributes, None
    if told.total == 0:
        return
    if event in ("subscription_payment_success", "subscription_payment_recovered"):
        letter = emails.receipt(resource.id, told.total, told.currency, told.urls.invoice_url)
    elif event == "subscription_payment_failed":
        letter = emails.payment_failed(resource.id, told.total, told.currency)
    elif event == "subscription_payment_refunded":
        back = refunded_cents(told.status, told.total, told.refunded_amount)
        letter = emails.refunded(
            f"invoices:{resource.id}", back, told.total, told.currency, told.urls.invoice_url
        )
    if letter is not None:
        await queue_letter(session, user_id, told.user_email, letter, now)


async def tell_of_order(
    session: AsyncSession,
    user_id: UUID,
    event: str,
    resource: OrderResource,
    offer: PackOffer,
    now: datetime,
) -> None:
    """A pack was bought or refunded."""
    told, letter = resource.attributes, None
    if event == "order_created" and told.status == "paid":
        letter = emails.topped_up(
            resource.id, offer.pack, told.total, told.currency, told.urls.receipt
        )
    elif event == "order_refunded":
        back = refunded_cents(told.status, told.total, told.refunded_amount)
        letter = emails.refunded(
            f"orders:{resource.id}", back, told.total, told.currency, told.urls.receipt
        )
    if letter is not None:
        await queue_letter(session, user_id, told.user_email, letter, now)
