"""Facts of subscriptions, shortly written: what a provider would tell in a life."""

from datetime import UTC, datetime
from typing import Any

from libs.tiers.catalogue import Interval, TierName
from services.payment.lifecycle_facts import Observation, Payment, Status

SUBSCRIPTION = "7"


def at(text: str) -> datetime:
    """ "2027-01-31" or "2027-01-31 12:30", UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def seen(
    status: Status,
    when: str,
    *,
    tier: TierName = "pro",
    interval: Interval = "month",
    renews: str | None = None,
    trial_ends: str | None = None,
    ends: str | None = None,
    **more: Any,
) -> Observation:
    """A state that the provider dates `when`."""
    values = {"subscription": SUBSCRIPTION, "created_at": at("2027-01-31"), **more}
    return Observation(
        status=status,
        tier=tier,
        interval=interval,
        updated_at=at(when),
        renews_at=at(renews) if renews else None,
        trial_ends_at=at(trial_ends) if trial_ends else None,
        ends_at=at(ends) if ends else None,
        **values,
    )


def paid(when: str, *, reason: str = "renewal", refunded: int = 0, invoice: str = "1") -> Payment:
    """A paid invoice of 75.00."""
    return Payment(invoice, SUBSCRIPTION, reason, at(when), True, 7_500, refunded)
