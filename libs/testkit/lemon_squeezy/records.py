"""What the provider keeps: plain records, no rules. Money in cents (USD), times UTC."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Status = Literal["on_trial", "active", "paused", "past_due", "unpaid", "cancelled", "expired"]
BillingReason = Literal["initial", "renewal", "updated"]
InvoiceStatus = Literal["pending", "paid", "void", "refunded", "partial_refund"]


class Refused(Exception):
    """The provider refuses: an HTTP status, one sentence, and a JSON pointer to the cause."""

    def __init__(self, detail: str, status: int = 422, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.detail, self.status, self.pointer = detail, status, pointer


class PaymentDeclined(Refused):
    """The card does not pay; nothing was bought."""


@dataclass(frozen=True)
class Card:
    """What is known of a card. `declines_at`: it never pays, or pays once and not again."""

    brand: str
    last_four: str
    declines_at: Literal["never", "checkout", "renewal"] = "never"


# The published test numbers of the card processor behind the provider.
CARDS: dict[str, Card] = {
    "4242424242424242": Card("visa", "4242"),
    "5555555555554444": Card("mastercard", "4444"),
    "378282246310005": Card("amex", "0005"),
    "4000000000000341": Card("visa", "0341", declines_at="renewal"),
    "4000000000000002": Card("visa", "0002", declines_at="checkout"),
    "4000000000009995": Card("visa", "9995", declines_at="checkout"),
}
GOOD_CARD = CARDS["4242424242424242"]
CARD_DECLINED_AT_RENEWAL = CARDS["4000000000000341"]
CARD_DECLINED = CARDS["4000000000000002"]


def card_of(number: str) -> Card:
    """The test card with that number, spaces ignored. Raises Refused for any other number."""
    card = CARDS.get("".join(number.split()).replace("-", ""))
    if card is None:
        raise Refused("Only test cards work here, such as 4242 4242 4242 4242.")
    return card


@dataclass
class Customer:
    id: int
    email: str
    name: str
    created_at: datetime
    updated_at: datetime
    had_trial: bool = False


@dataclass
class Checkout:
    id: str
    variant_id: int
    custom_price: int | None
    product_options: dict[str, Any]
    checkout_options: dict[str, Any]
    checkout_data: dict[str, Any]
    expires_at: datetime | None
    created_at: datetime
    order_id: int | None = None


@dataclass
class Order:
    id: int
    identifier: str
    number: int
    item_id: int
    customer_id: int
    variant_id: int
    total: int
    created_at: datetime
    updated_at: datetime
    custom: dict[str, str] = field(default_factory=dict)
    refunded: int = 0
    refunded_at: datetime | None = None
    subscription_id: int | None = None
    invoice_id: int | None = None


@dataclass
class Pause:
    mode: Literal["void", "free"]
    resumes_at: datetime | None = None


@dataclass
class Subscription:
    """`period_start` to `period_end` is what is paid for (or the trial); `renews_at` is when the
    next charge is tried. `balance` is carried to the next invoice: a credit is negative.
    `fails_next`: so many of the next charges are declined whatever the card."""

    id: int
    item_id: int
    customer_id: int
    order_id: int
    order_item_id: int
    variant_id: int
    price: int
    card: Card
    status: Status
    anchor_day: int
    period_start: datetime
    period_end: datetime
    renews_at: datetime
    created_at: datetime
    updated_at: datetime
    item_updated_at: datetime
    custom: dict[str, str] = field(default_factory=dict)
    trial_ends_at: datetime | None = None
    ends_at: datetime | None = None
    pause: Pause | None = None
    balance: int = 0
    fails_next: int = 0
    attempts: int = 0
    unpaid_at: datetime | None = None
    open_invoice_id: int | None = None


@dataclass
class Invoice:
    id: int
    subscription_id: int
    customer_id: int
    reason: BillingReason
    status: InvoiceStatus
    subtotal: int
    total: int
    card: Card
    created_at: datetime
    updated_at: datetime
    refunded: int = 0
    refunded_at: datetime | None = None
