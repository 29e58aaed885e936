"""Which of a user's subscriptions is the current one: pure."""

from collections.abc import Iterable
from datetime import datetime

from services.payment.lifecycle_facts import Status, tier_rank
from services.payment.models import Subscription

# Of these the customer is charged again, unless they are cancelled.
RENEWING: tuple[Status, ...] = ("on_trial", "active", "past_due", "unpaid", "paused")


def is_live(subscription: Subscription, now: datetime) -> bool:
    """Whether it still gives a plan, or would with a payment: not expired, nor cancelled and over.

    Of what the provider has not told yet, the clock decides.
    """
    if subscription.status == "cancelled":
        return subscription.ends_at is not None and subscription.ends_at > now
    return subscription.status != "expired"


def live_of(owned: Iterable[Subscription], now: datetime) -> list[Subscription]:
    """The live ones, the current one first.

    It is one that renews, so that cancelling again and again reaches all of them; of those the one
    that gives most; of equals the newest.
    """
    return sorted(
        (subscription for subscription in owned if is_live(subscription, now)),
        key=lambda one: (
            one.status in RENEWING,
            tier_rank(one.entitled_tier),
            one.provider_created_at,
            one.provider_id,
        ),
        reverse=True,
    )


def current_of(owned: Iterable[Subscription], now: datetime) -> Subscription | None:
    """The current one; None where none lives."""
    return next(iter(live_of(owned, now)), None)
