"""The daily comparison: all that the provider knows is applied as if a webhook told it.

What we know already changes nothing, so only drift does: an event that was never delivered. What
belongs to nobody whom we know is kept in the inbox for an admin.
"""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.db.outages import is_away
from libs.kernel.ids import new_id
from libs.telemetry.logs import get_logger
from services.payment.desk import Desk
from services.payment.lemon_squeezy.client import LemonSqueezy
from services.payment.lemon_squeezy.resources import (
    InvoiceResource,
    OrderResource,
    SubscriptionResource,
    WebhookEvent,
)
from services.payment.offers import PlanOffer, Shelf
from services.payment.repository import inbox
from services.payment.service.events import apply_event
from services.payment.stuck import Stuck

log = get_logger(__name__)
Resource = SubscriptionResource | InvoiceResource | OrderResource
ACTOR = "reconciliation"
LOOK_BACK = timedelta(days=35)  # payments of the last month, and some days to mend what is away
KINDS = {"subscriptions": "subscription", "subscription-invoices": "invoice", "orders": "order"}
OF_INVOICE = {
    "paid": "subscription_payment_success",
    "partial_refund": "subscription_payment_refunded",
    "refunded": "subscription_payment_refunded",
}
OF_ORDER = {
    "paid": "order_created",
    "partial_refund": "order_refunded",
    "refunded": "order_refunded",
}
repairs = Counter("easel_reconciliation_repairs_total", "Facts that no webhook had told us")
failed = Counter("easel_reconciliation_failed_total", "Facts that could not be applied")


@dataclass(frozen=True)
class Comparison:
    """How many facts were compared, and how many had to be repaired."""

    compared: int
    repaired: int


async def all_facts(provider: LemonSqueezy, now: datetime) -> AsyncIterator[Resource]:
    """Every subscription, and the invoices and orders of the last month."""
    async for subscription in provider.list_subscriptions():
        yield subscription
    async for invoice in provider.list_invoices(now - LOOK_BACK):
        yield invoice
    async for order in provider.list_orders(now - LOOK_BACK):
        yield order


async def reconcile(desk: Desk, theirs: AsyncIterable[Resource]) -> Comparison:
    """Compare every fact, each repair in a transaction of its own.

    One that fails is logged and counted, and keeps no other waiting. Raises while a part is away.
    """
    compared = repaired = 0
    async for resource in theirs:
        event = event_of(resource, desk.shelf)
        if event is not None:
            compared += 1
            repaired += await try_repair(desk, event)
    return Comparison(compared, repaired)


async def try_repair(desk: Desk, event: WebhookEvent) -> bool:
    """`repair`; False, logged and counted, for a fact that cannot be applied."""
    try:
        return await repair(desk, event)
    except Exception as error:
        if is_away(error):
            raise
        log.error("repair_failed", subject=event.data.subject, exc_info=error)
        failed.inc()
        return False


def event_of(resource: Resource, shelf: Shelf) -> WebhookEvent | None:
    """The event that would have told it; None for what gives nobody anything: invoices that are
    not paid, and the orders of plans, which their subscriptions tell."""
    name: str | None
    if isinstance(resource, SubscriptionResource):
        kind, name = "subscriptions", "subscription_updated"
    elif isinstance(resource, InvoiceResource):
        kind, name = "subscription-invoices", OF_INVOICE.get(resource.attributes.status)
    else:
        kind, name = "orders", OF_ORDER.get(resource.attributes.status)
        if isinstance(shelf.offer_of(resource.attributes.first_order_item.variant_id), PlanOffer):
            return None
    if name is None:
        return None
    data = {"type": kind, **resource.model_dump(mode="json")}
    return WebhookEvent.model_validate({"meta": {"event_name": name}, "data": data})


async def repair(desk: Desk, event: WebhookEvent) -> bool:
    """Apply a fact; True if it was news."""
    now = desk.clock()
    try:
        async with desk.sessions.begin() as session:
            is_news = await apply(session, desk.shelf, event, now)
    except Stuck as problem:
        async with desk.sessions.begin() as session:
            is_news = await keep_for_admin(session, event, problem, now)
    if is_news:
        log.warning("fact_repaired", subject=event.data.subject, kind=KINDS[event.data.type])
        repairs.inc()
    return is_news


async def apply(session: AsyncSession, shelf: Shelf, event: WebhookEvent, now: datetime) -> bool:
    """Apply it, and if it was news say so in the audit log. Raises what `apply_event` does."""
    effect = await apply_event(session, event, now, shelf=shelf)
    if effect is None or not effect.is_news:
        return False
    kind = KINDS[event.data.type]
    await record(
        session,
        actor=ACTOR,
        action=f"{kind}.repaired",
        subject=f"{kind}:{event.data.id}",
        user_id=effect.user_id,
        details={"status": event.data.attributes["status"]},
        now=now,
    )
    return True


async def keep_for_admin(
    session: AsyncSession, event: WebhookEvent, problem: Stuck, now: datetime
) -> bool:
    """Put it into the inbox, stuck, as a webhook would have been; once a content.

    Without links: every answer of the provider signs them anew.
    """
    body = event.model_dump_json(exclude={"data": {"attributes": {"urls"}}}).encode()
    values: dict[str, Any] = {
        "id": new_id(),
        "event_name": event.meta.event_name,
        "subject": event.data.subject,
        "body": body,
        "body_sha256": hashlib.sha256(body).digest(),
        "received_at": now,
        "next_try_at": now,
        "state": "stuck",
        "problem": f"{problem.kind}: {problem}; found by the reconciliation",
    }
    return await inbox.add_entry(session, values)
