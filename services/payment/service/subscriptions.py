"""The current subscription: which it is, and how its owner sees it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.tiers.entitlements import tier_of
from services.payment.current import current_of, live_of
from services.payment.lifecycle import GRACE
from services.payment.models import Subscription
from services.payment.offers import PlanOffer
from services.payment.problems import SubscriptionNotFound
from services.payment.repository import own_billing
from services.payment.schemas.subscriptions import CurrentAnswer, SubscriptionAnswer


async def get_current(session: AsyncSession, user_id: UUID, now: datetime) -> CurrentAnswer:
    """The user's plan and the subscription that gives it, if one does."""
    live = live_of(await own_billing.list_subscriptions(session, user_id), now)
    return CurrentAnswer(
        plan=(await tier_of(session, user_id)).name,
        subscription=show_subscription(live[0]) if live else None,
        other_subscriptions=max(0, len(live) - 1),
        next_free_credits_at=await own_billing.next_free_month(session, user_id),
    )


async def require_current(session: AsyncSession, user_id: UUID, now: datetime) -> Subscription:
    """The current subscription. Raises SubscriptionNotFound."""
    current = current_of(await own_billing.list_subscriptions(session, user_id), now)
    if current is None:
        raise SubscriptionNotFound()
    return current


def show_subscription(subscription: Subscription) -> SubscriptionAnswer:
    """A subscription as its owner sees it."""
    due_since = subscription.past_due_since
    return SubscriptionAnswer(
        id=subscription.id,
        status=subscription.status,
        plan=subscription.tier,
        plan_now=subscription.entitled_tier,
        interval=subscription.interval,
        price_cents=PlanOffer(subscription.tier, subscription.interval).price_cents,
        renews_at=subscription.renews_at if subscription.ends_at is None else None,
        ends_at=subscription.ends_at,
        trial_ends_at=subscription.trial_ends_at,
        payment_due_since=due_since,
        grace_ends_at=due_since + GRACE if due_since else None,
        card_brand=subscription.card_brand,
        card_last_four=subscription.card_last_four,
        created_at=subscription.provider_created_at,
    )
