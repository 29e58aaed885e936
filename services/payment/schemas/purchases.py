"""Checkout, orders and invoices."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from libs.tiers.catalogue import Interval, PackName, TierName, load_catalogue
from services.payment.offers import Offer, PackOffer, PlanOffer


def require_for_sale(name: TierName) -> TierName:
    """Raises ValueError for a plan that cannot be bought online."""
    if not load_catalogue().tier(name).is_for_sale:
        names = ", ".join(tier.name for tier in load_catalogue().tiers if tier.is_for_sale)
        raise ValueError(f"{name} cannot be bought here; one of {names} can")
    return name


PaidPlan = Annotated[TierName, AfterValidator(require_for_sale)]


class CheckoutRequest(BaseModel):
    """What to buy: a plan by month or year, or a pack of credits."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"plan": "pro", "interval": "month", "return_url": "https://example.com/thanks"},
                {"pack": "small"},
            ]
        },
    )

    plan: PaidPlan | None = None
    interval: Interval | None = None
    pack: PackName | None = None
    return_url: str | None = Field(
        default=None,
        max_length=2000,
        description="Where the paid checkout leads: an https address, or one of this origin. None:"
        " its receipt",
    )

    @model_validator(mode="after")
    def require_one_offer(self) -> Self:
        """Raises ValueError unless it is a plan with its interval, or a pack."""
        has_plan, has_pack = self.plan is not None, self.pack is not None
        if has_plan == has_pack or has_plan != (self.interval is not None):
            raise ValueError("give plan and interval, or pack alone")
        return self

    @property
    def offer(self) -> Offer:
        """What is to be sold."""
        if self.pack is not None:
            return PackOffer(self.pack)
        assert self.plan is not None and self.interval is not None
        return PlanOffer(self.plan, self.interval)


class CheckoutAnswer(BaseModel):
    """The provider's page where it is paid; nothing is charged before."""

    checkout_url: str
    expires_at: datetime | None


class InvoiceAnswer(BaseModel):
    """A charge of a subscription, in cents with taxes; `invoice_url` is null while it is unpaid."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(validation_alias="provider_id")
    billing_reason: str
    status: str
    total_cents: int
    refunded_cents: int
    currency: str
    invoice_url: str | None
    created_at: datetime


class OrderAnswer(BaseModel):
    """A purchase, in cents with taxes: a pack of credits, or (`pack` null) the first of a plan."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(validation_alias="provider_id")
    pack: PackName | None
    status: str
    total_cents: int
    refunded_cents: int
    currency: str
    receipt_url: str | None
    created_at: datetime
