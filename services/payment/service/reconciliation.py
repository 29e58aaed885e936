"""The daily comparison: every subscription of the provider is observed as if a webhook told it.

What we know already changes nothing, so only drift does: an event that was never delivered. Whose
subscription nobody knows is kept in the inbox for an admin.
"""

import hashlib
import json
from collections.abc import AsyncIterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.kernel.ids import new_id
from libs.telemetry.logs import get_logger
from services.payment.desk import Desk
from services.payment.lemon_squeezy.resources import SubscriptionResource
from services.payment.repository import inbox
from services.payment.repository.owners import owner_of_customer, owner_of_subscription
from services.payment.service.standing import observe_subscription
from services.payment.stuck import Stuck, UnknownUser

log = get_logger(__name__)
ACTOR = "reconciliation"
EVENT = "subscription_updated"  # as which a state that nobody told us is kept
repairs = Counter(
    "easel_reconciliation_repairs_total", "States of subscriptions that no webhook had told us"
)


@dataclass(frozen=True)
class Comparison:
    """How many subscriptions were compared, and how many had to be repaired."""

    compared: int
    repaired: int


async def reconcile(desk: Desk, theirs: AsyncIterable[SubscriptionResource]) -> Comparison:
    """Compare every subscription, each repair in a transaction of its own."""
    compared = repaired = 0
    async for resource in theirs:
        compared += 1
        repaired += await repair(desk, resource)
    return Comparison(compared, repaired)


async def repair(desk: Desk, resource: SubscriptionResource) -> bool:
    """Observe a state; True if it was news."""
    now = desk.clock()
    try:
        async with desk.sessions.begin() as session:
            is_news = await observe(session, desk, resource, now)
    except Stuck as problem:
        async with desk.sessions.begin() as session:
            is_news = await keep_for_admin(session, resource, problem, now)
    if is_news:
        log.warning("subscription_repaired", subscription=resource.id)
        repairs.inc()
    return is_news


async def observe(
    session: AsyncSession, desk: Desk, resource: SubscriptionResource, now: datetime
) -> bool:
    """Add the state to what is known; if it is news, with a line in the audit log.

    Raises UnknownUser, UnknownVariant.
    """
    user_id = await owner_of_subscription(session, resource.id)
    user_id = user_id or await owner_of_customer(session, resource.attributes.customer_id)
    if user_id is None:
        raise UnknownUser("found by the reconciliation")
    is_news = await observe_subscription(session, resource, now, user_id=user_id, shelf=desk.shelf)
    if is_news:
        await record(
            session,
            actor=ACTOR,
            action="subscription.repaired",
            subject=f"subscription:{resource.id}",
            user_id=user_id,
            details={"status": resource.attributes.status},
            now=now,
        )
    return is_news


async def keep_for_admin(
    session: AsyncSession, resource: SubscriptionResource, problem: Stuck, now: datetime
) -> bool:
    """Put a state into the inbox, stuck, as a webhook would have been; once a content."""
    body = body_of(resource)
    values: dict[str, Any] = {
        "id": new_id(),
        "event_name": EVENT,
        "subject": f"subscriptions:{resource.id}",
        "body": body,
        "body_sha256": hashlib.sha256(body).digest(),
        "received_at": now,
        "next_try_at": now,
        "state": "stuck",
        "problem": f"{problem.kind}: {problem}",
    }
    return await inbox.add_entry(session, values)


def body_of(resource: SubscriptionResource) -> bytes:
    """The webhook that would have told this state, without links, which every answer changes."""
    data = resource.model_dump(mode="json", exclude={"attributes": {"urls"}})
    meta = {"event_name": EVENT, "custom_data": None}
    document = {"meta": meta, "data": {"type": "subscriptions", **data}}
    return json.dumps(document, sort_keys=True).encode()
