"""The current subscription, and changes of it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from libs.tiers.catalogue import Interval, TierName
from services.payment.lifecycle_facts import Status
from services.payment.offers import PlanOffer
from services.payment.schemas.purchases import PaidPlan


class SubscriptionAnswer(BaseModel):
    """A subscription. `plan` is what is charged next, `plan_now` what it gives until then: they
    differ while a smaller plan waits for the period's end, or a payment is due.

    With a payment due since `payment_due_since` the plan is kept until `grace_ends_at`. Cancelled,
    it lasts until `ends_at`.
    """

    id: UUID
    status: Status
    plan: TierName
    plan_now: TierName
    interval: Interval
    price_cents: int
    currency: str = "USD"
    renews_at: datetime | None
    ends_at: datetime | None
    trial_ends_at: datetime | None
    payment_due_since: datetime | None
    grace_ends_at: datetime | None
    card_brand: str | None
    card_last_four: str | None
    created_at: datetime


class CurrentAnswer(BaseModel):
    """The caller's plan. Without a subscription the free plan holds, whose next credits come at
    `next_free_credits_at`; or one by contract."""

    plan: TierName
    subscription: SubscriptionAnswer | None
    other_subscriptions: int = Field(
        ge=0,
        description="Further live subscriptions of the caller, each charged by itself; normally 0."
        " Cancelling comes to the next one when the one shown is cancelled.",
    )
    next_free_credits_at: datetime | None


class LinksAnswer(BaseModel):
    """Pages of the payment provider for the customer alone; they are valid for a day."""

    customer_portal_url: str | None
    update_payment_method_url: str | None


class ChangeRequest(BaseModel):
    """The plan and interval that are wanted."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"plan": "pro", "interval": "month"}]}
    )

    plan: PaidPlan
    interval: Interval

    @property
    def offer(self) -> PlanOffer:
        """What is wanted."""
        return PlanOffer(self.plan, self.interval)


class PlanAnswer(BaseModel):
    """A plan as it is sold, without taxes."""

    plan: TierName
    interval: Interval
    price_cents: int


class ChangePreview(BaseModel):
    """What a change does, before it is asked for.

    `lost` are unspent credits of the plan that end at once (what jobs hold stays with them),
    `granted` come at once and last until `granted_expire_at`, `kept` stay: packs, promotions and
    all else. `estimated_proration_cents` is charged now, without taxes; below zero it is credited
    on the next invoices. The provider reckons it to the second when the change is made, so it is
    an estimate.
    """

    takes_effect: Literal["now", "at_period_end"]
    effective_at: datetime
    from_plan: PlanAnswer
    to_plan: PlanAnswer
    lost_millicredits: int
    lost_credits: str
    granted_millicredits: int
    granted_credits: str
    granted_expire_at: datetime | None
    kept_millicredits: int
    kept_credits: str
    estimated_proration_cents: int
    next_charge_cents: int
    next_charge_at: datetime | None
    currency: str = "USD"
    summary: str
