"""Lemon Squeezy's API as far as we call it (JSON:API, `https://docs.lemonsqueezy.com/api`).

Every call is one request over the network: none is made inside a transaction. Documented limits:
300 calls a minute (429 with `Retry-After`), pages of at most 100.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prometheus_client import Counter
from pydantic import AwareDatetime, Field, ValidationError

from libs.telemetry.logs import get_logger
from services.payment.lemon_squeezy.resources import (
    Document,
    InvoiceResource,
    OrderResource,
    SubscriptionResource,
)
from services.payment.problems import BillingRefused, BillingUnavailable
from services.payment.settings import LemonSqueezySettings

log = get_logger(__name__)
MEDIA_TYPE = "application/vnd.api+json"
PAGE_SIZE = 100
TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 3600
# Our own mistake or theirs; nothing that the customer could mend.
DEFECTS = (400, 401, 403, 405, 406, 415)
Answer = TypeVar("Answer", bound=Document)
Row = TypeVar("Row", SubscriptionResource, InvoiceResource, OrderResource)
unreadable = Counter(
    "easel_reconciliation_unreadable_total", "Rows of the provider's lists that we cannot read"
)


class CheckoutAttributes(Document):
    """A page where somebody can pay; null never expires."""

    url: str
    expires_at: AwareDatetime | None = None


class CheckoutResource(Document):
    """JSON:API resource `checkouts`."""

    attributes: CheckoutAttributes


class OneCheckout(Document):
    """The answer with a checkout."""

    data: CheckoutResource


class OneSubscription(Document):
    """The answer with a subscription."""

    data: SubscriptionResource


class PageNumbers(Document):
    """Which page of how many."""

    last: int = Field(alias="lastPage")


class ListMeta(Document):
    """What is said about a list."""

    page: PageNumbers


class ListPage(Document):
    """One page of a list; each row is read by itself."""

    data: list[Any]
    meta: ListMeta


class Refusal(Document):
    """One error of an answer; `detail` is for people."""

    detail: str = ""


class Refusals(Document):
    """The errors of an answer."""

    errors: list[Refusal] = []


@dataclass(frozen=True)
class CheckoutOrder:
    """What a checkout page shall sell, to whom. `return_url` is where it leads afterwards; None:
    to the provider's receipt."""

    variant_id: str
    user_id: UUID
    email: str
    name: str
    return_url: str | None
    expires_at: datetime
    skip_trial: bool = False


class LemonSqueezy:
    """The store. Calls raise BillingUnavailable (503) when it cannot answer now, and
    BillingRefused (409) when it will not do this."""

    def __init__(self, http: httpx.AsyncClient, settings: LemonSqueezySettings) -> None:
        self.http, self.url = http, settings.lemon_squeezy_api_url.rstrip("/")
        self.store_id = settings.lemon_squeezy_store_id
        self._headers = {
            "Accept": MEDIA_TYPE,
            "Content-Type": MEDIA_TYPE,
            "Authorization": f"Bearer {settings.lemon_squeezy_api_key}",
        }

    async def create_checkout(self, order: CheckoutOrder) -> CheckoutAttributes:
        """A checkout page for one variant; custom data names the user in every webhook of it."""
        relations = {"store": ("stores", self.store_id), "variant": ("variants", order.variant_id)}
        data = {
            "type": "checkouts",
            "attributes": attributes_of(order),
            "relationships": {
                name: {"data": {"type": kind, "id": identifier}}
                for name, (kind, identifier) in relations.items()
            },
        }
        made = await self._call("POST", "/checkouts", OneCheckout, body={"data": data})
        return made.data.attributes

    async def get_subscription(self, subscription_id: str) -> SubscriptionResource:
        """A subscription as it is now."""
        answer = await self._call("GET", f"/subscriptions/{subscription_id}", OneSubscription)
        return answer.data

    async def list_subscriptions(self) -> AsyncIterator[SubscriptionResource]:
        """Every subscription of the store, page by page, newest first.

        One that is made meanwhile may shift another onto the next page: it comes twice then. Rows
        of any list that cannot be read are logged, counted and left out.
        """
        async for resource in self._rows("/subscriptions", SubscriptionResource):
            yield resource

    async def list_invoices(self, since: datetime) -> AsyncIterator[InvoiceResource]:
        """Every invoice of a subscription that was made since then, newest first."""
        async for resource in self._rows("/subscription-invoices", InvoiceResource):
            if resource.attributes.created_at < since:
                return
            yield resource

    async def list_orders(self, since: datetime) -> AsyncIterator[OrderResource]:
        """Every order that was made since then, newest first."""
        async for resource in self._rows("/orders", OrderResource):
            if resource.attributes.created_at < since:
                return
            yield resource

    async def _rows(self, path: str, shape: type[Row]) -> AsyncIterator[Row]:
        number = last = 1
        while number <= last:
            query = {
                "filter[store_id]": self.store_id,
                "page[number]": number,
                "page[size]": PAGE_SIZE,
            }
            page = await self._call("GET", path, ListPage, query=query)
            for row in page.data:
                if (resource := read_row(path, row, shape)) is not None:
                    yield resource
            number, last = number + 1, page.meta.page.last

    async def change_variant(
        self, subscription_id: str, variant_id: str, *, charge_now: bool
    ) -> SubscriptionResource:
        """Move to another variant at once.

        `charge_now` invoices the difference of the rest of the period immediately; without it
        nothing is prorated, and the new price is charged at the next renewal.
        """
        proration = {"invoice_immediately": True} if charge_now else {"disable_prorations": True}
        return await self._patch(subscription_id, {"variant_id": int(variant_id), **proration})

    async def cancel(self, subscription_id: str) -> SubscriptionResource:
        """End a subscription when what is paid for ends."""
        answer = await self._call("DELETE", f"/subscriptions/{subscription_id}", OneSubscription)
        return answer.data

    async def resume(self, subscription_id: str) -> SubscriptionResource:
        """Take a cancellation back, as long as the subscription has not expired."""
        return await self._patch(subscription_id, {"cancelled": False})

    async def _patch(
        self, subscription_id: str, attributes: Mapping[str, Any]
    ) -> SubscriptionResource:
        data = {"type": "subscriptions", "id": subscription_id, "attributes": attributes}
        path = f"/subscriptions/{subscription_id}"
        answer = await self._call("PATCH", path, OneSubscription, body={"data": data})
        return answer.data

    async def _call(
        self,
        method: str,
        path: str,
        shape: type[Answer],
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        try:
            answer = await self.http.request(
                method,
                f"{self.url}{path}",
                json=body,
                params=query,
                headers=self._headers,
                timeout=TIMEOUT_SECONDS,
            )
            if not answer.is_success:
                raise refusal(method, path, answer)
            return shape.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            log.warning("provider_away", method=method, path=path, error=repr(error))
            raise BillingUnavailable(retry_after_seconds=RETRY_SECONDS) from error


def read_row(path: str, row: Any, shape: type[Row]) -> Row | None:
    """One row of a list; None, logged without its content, if it is not what we know."""
    try:
        return shape.model_validate(row)
    except ValidationError as error:
        named = row.get("id") if isinstance(row, dict) else None
        wrong = [".".join(map(str, one["loc"])) for one in error.errors(include_input=False)]
        log.error("provider_row_unreadable", path=path, row_id=str(named), fields=wrong)
        unreadable.inc()
        return None


def attributes_of(order: CheckoutOrder) -> dict[str, Any]:
    """A checkout's attributes: only the ordered variant is offered on the page."""
    return {
        "product_options": {
            "redirect_url": order.return_url or "",
            "enabled_variants": [int(order.variant_id)],
        },
        "checkout_options": {"skip_trial": order.skip_trial},
        "checkout_data": {
            "email": order.email,
            "name": order.name,
            "custom": {"user_id": str(order.user_id)},
        },
        "expires_at": order.expires_at.isoformat(),
    }


def refusal(method: str, path: str, answer: httpx.Response) -> BillingUnavailable | BillingRefused:
    """What an answer that is no success means: later (429, 5xx), or never (the rest)."""
    status, detail = answer.status_code, detail_of(answer)
    log.warning("provider_refused", method=method, path=path, status=status, detail=detail)
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= 500 or status in DEFECTS:
        return BillingUnavailable(retry_after_seconds=retry_after(answer))
    return BillingRefused(detail)


def detail_of(answer: httpx.Response) -> str:
    """The sentence of an error document; empty without one."""
    try:
        errors = Refusals.model_validate_json(answer.content).errors
    except ValidationError:
        return ""
    return " ".join(error.detail for error in errors)


def retry_after(answer: httpx.Response) -> int:
    """Seconds that the provider asks to wait for; five if it says nothing sensible."""
    asked = answer.headers.get("Retry-After", "")
    return min(max(1, int(asked)), LONGEST_RETRY_SECONDS) if asked.isdecimal() else RETRY_SECONDS
