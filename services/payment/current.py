"""Which of a user's subscriptions is the current one: pure."""

from collections.abc import Iterable
from datetime import datetime

from services.payment.lifecycle_facts import tier_rank
from services.payment.models import Subscription


def is_live(subscription: Subscription, now: datetime) -> bool:
    """Whether it still gives a plan, or would with a payment: not expired, nor cancelled and over.

    Of what the provider has not told yet, the clock decides.
    """
    if subscription.status == "cancelled":
        return subscription.ends_at is not None and subscription.ends_at > now
    return subscription.status != "expired"


def current_of(owned: Iterable[Subscription], now: datetime) -> Subscription | None:
    """The live one that gives most; of equals the newest."""
    live = [subscription for subscription in owned if is_live(subscription, now)]
    return max(
        live,
        key=lambda one: (tier_rank(one.entitled_tier), one.provider_created_at, one.provider_id),
        default=None,
    )
