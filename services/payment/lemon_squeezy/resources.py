"""The provider's documents, as far as we read them: webhook bodies and the resources in them.

https://docs.lemonsqueezy.com/help/webhooks/webhook-requests and the API pages of subscriptions,
subscription invoices and orders. Unknown members are ignored, whatever else comes with them.
"""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from services.payment.lifecycle_facts import Status

# ids are numbers in attributes and texts beside them
Id = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$"),
]
Cents = Annotated[int, Field(ge=0, le=2**53)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]


class Document(BaseModel):
    """Base of all: frozen, lenient."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Pause(Document):
    """Payments are not collected until then; null: until it is taken back."""

    resumes_at: AwareDatetime | None = None


class SubscriptionUrls(Document):
    """Signed pages of the provider for the customer; valid for a day."""

    update_payment_method: str | None = None
    customer_portal: str | None = None


class SubscriptionAttributes(Document):
    """A subscription. `renews_at` of a past due one is the next try of the charge."""

    customer_id: Id
    order_id: Id
    variant_id: Id
    user_email: str
    status: Status
    card_brand: str | None = None
    card_last_four: str | None = None
    pause: Pause | None = None
    trial_ends_at: AwareDatetime | None = None
    billing_anchor: Annotated[int, Field(ge=1, le=31)] | None = None
    renews_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    urls: SubscriptionUrls = SubscriptionUrls()
    created_at: AwareDatetime
    updated_at: AwareDatetime


class SubscriptionResource(Document):
    """JSON:API resource `subscriptions`."""

    id: Id
    attributes: SubscriptionAttributes


class InvoiceUrls(Document):
    """Where the customer sees the invoice."""

    invoice_url: str | None = None


class InvoiceAttributes(Document):
    """An invoice of a subscription; it carries no renewal date."""

    subscription_id: Id
    customer_id: Id
    user_email: str
    billing_reason: str
    status: str
    currency: str
    total: Cents
    refunded_amount: Cents = 0
    urls: InvoiceUrls = InvoiceUrls()
    created_at: AwareDatetime
    updated_at: AwareDatetime


class InvoiceResource(Document):
    """JSON:API resource `subscription-invoices`."""

    id: Id
    attributes: InvoiceAttributes


class OrderItem(Document):
    """What was bought."""

    variant_id: Id


class OrderUrls(Document):
    """Where the customer sees the receipt."""

    receipt: str | None = None


class OrderAttributes(Document):
    """A purchase."""

    customer_id: Id
    user_email: str
    status: str
    currency: str
    total: Cents
    refunded_amount: Cents = 0
    first_order_item: OrderItem
    urls: OrderUrls = OrderUrls()
    created_at: AwareDatetime
    updated_at: AwareDatetime


class OrderResource(Document):
    """JSON:API resource `orders`."""

    id: Id
    attributes: OrderAttributes


class Meta(Document):
    """The envelope. `custom_data` is null, or an empty list, where the checkout had none."""

    event_name: Name
    custom_data: dict[str, Any] | list[Any] | None = None

    @property
    def user_id(self) -> UUID | None:
        """The user that the checkout names; None if it names none that could be one."""
        named = self.custom_data.get("user_id") if isinstance(self.custom_data, dict) else None
        try:
            return UUID(str(named)) if named else None
        except ValueError:
            return None


class Data(Document):
    """Which resource an event is about; its attributes are read when the event is applied."""

    type: Name
    id: Id
    attributes: dict[str, Any] = {}

    @property
    def subject(self) -> str:
        """`subscriptions:1`, for its invoices too, or `orders:1`."""
        subscription_id = str(self.attributes.get("subscription_id", ""))
        if subscription_id.isdecimal():
            return f"subscriptions:{subscription_id:.64}"
        return f"{self.type}:{self.id}"


class WebhookEvent(Document):
    """The body of a webhook."""

    meta: Meta
    data: Data
