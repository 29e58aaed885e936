"""Letting go of a customer: nothing renews, no credit is left, and the books name nobody.

Sessions are of the billing role. The provider is asked between transactions.
"""

from uuid import UUID

from libs.audit.log import record
from libs.credits.closing import close_account
from services.payment.desk import Desk
from services.payment.lemon_squeezy.client import LemonSqueezy
from services.payment.lemon_squeezy.resources import SubscriptionResource
from services.payment.problems import BillingRefused
from services.payment.repository import erasure
from services.payment.repository.owners import enter_user
from services.payment.repository.subscriptions import list_renewing
from services.payment.service.closed_accounts import keep_subscription

ACTOR = "erasure"
PENDING = "webhooks that are being applied"
WEBHOOKS_AT_ONCE = 500


async def erase_user(desk: Desk, provider: LemonSqueezy, user_id: UUID) -> str | None:
    """Close the account, cancel what renews, forget the person. None: done; else what has to end.

    May be repeated and interrupted. Raises BillingUnavailable, and BillingRefused if the provider
    will not cancel.
    """
    waits_for = await close(desk, user_id)
    if waits_for is not None:
        return waits_for
    async with desk.sessions.begin() as session:
        renewing = [one.provider_id for one in await list_renewing(session, user_id)]
    for subscription in renewing:
        resource = await end_at_provider(provider, subscription)
        async with desk.sessions.begin() as session:
            await keep_subscription(session, resource, user_id, desk.shelf)
    while await forget_some_webhooks(desk, user_id):
        pass
    async with desk.sessions.begin() as session:
        await enter_user(session, user_id)
        await erasure.forget_customer(session, user_id)
        # the provider tells of what was cancelled just now
        return PENDING if await erasure.has_pending(session, user_id) else None


async def close(desk: Desk, user_id: UUID) -> str | None:
    """End the account's credits, so that nothing that comes later gives any. What has to end
    first, or None."""
    now = desk.clock()
    async with desk.sessions.begin() as session:
        await enter_user(session, user_id)
        if await erasure.has_pending(session, user_id):
            return PENDING
        outcome = await close_account(session, user_id=user_id, now=now)
        if outcome == "held":
            return "credits that jobs hold"
        if outcome == "closed":
            await record(
                session,
                actor=ACTOR,
                action="credits.account_closed",
                subject=f"user:{user_id}",
                user_id=user_id,
                now=now,
            )
    return None


async def end_at_provider(provider: LemonSqueezy, subscription: str) -> SubscriptionResource:
    """Cancel a subscription; one that has ended meanwhile stays as it is."""
    try:
        return await provider.cancel(subscription)
    except BillingRefused:
        found = await provider.get_subscription(subscription)
        if found.attributes.status in ("cancelled", "expired"):
            return found
        raise


async def forget_some_webhooks(desk: Desk, user_id: UUID) -> bool:
    """One short transaction; False: none with a text is left."""
    async with desk.sessions.begin() as session:
        await enter_user(session, user_id)
        entries = await erasure.list_webhooks(session, user_id, WEBHOOKS_AT_ONCE)
        await erasure.forget_webhooks(session, entries, desk.clock())
    return bool(entries)
