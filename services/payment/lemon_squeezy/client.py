"""Lemon Squeezy's API as far as we call it (JSON:API, `https://docs.lemonsqueezy.com/api`).

Every call is one request over the network: none is made inside a transaction. Documented limits:
300 calls a minute (429 with `Retry-After`), pages of at most 100.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from libs.telemetry.logs import get_logger
from services.payment.lemon_squeezy.resources import Subscription
from services.payment.problems import BillingUnavailable
from services.payment.settings import LemonSqueezySettings

log = get_logger(__name__)
MEDIA_TYPE = "application/vnd.api+json"
PAGE_SIZE = 100
TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 3600
# Our own mistake or theirs; nothing that the customer could mend.
OURS = (400, 401, 403, 405, 406, 415)


class ProviderRefused(Exception):
    """The provider answers that it will not do this; `status` is its HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail = status, detail


class Checkout(BaseModel):
    """A page where somebody can pay; null never expires."""

    url: str
    expires_at: datetime | None


@dataclass(frozen=True)
class CheckoutOrder:
    """What a checkout page shall sell, to whom. `return_url` is where it leads afterwards."""

    variant_id: str
    user_id: UUID
    email: str
    name: str
    return_url: str
    expires_at: datetime
    skip_trial: bool = False


class LemonSqueezy:
    """The store. Calls raise BillingUnavailable (503) when it cannot answer now, and
    ProviderRefused when it will not do it."""

    def __init__(self, http: httpx.AsyncClient, settings: LemonSqueezySettings) -> None:
        self.http, self.url = http, settings.lemon_squeezy_api_url.rstrip("/")
        self.store_id = settings.lemon_squeezy_store_id
        self._headers = {
            "Accept": MEDIA_TYPE,
            "Content-Type": MEDIA_TYPE,
            "Authorization": f"Bearer {settings.lemon_squeezy_api_key.get_secret_value()}",
        }

    async def create_checkout(self, order: CheckoutOrder) -> Checkout:
        """A checkout page for one variant; custom data names the user in every webhook of it."""
        attributes = {
            "product_options": {
                "redirect_url": order.return_url,
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
        relations = {"store": ("stores", self.store_id), "variant": ("variants", order.variant_id)}
        data = {
            "type": "checkouts",
            "attributes": attributes,
            "relationships": {
                name: {"data": {"type": kind, "id": identifier}}
                for name, (kind, identifier) in relations.items()
            },
        }
        made = await self._call("POST", "/checkouts", {"data": data})
        return read(Checkout, made["data"]["attributes"])

    async def get_subscription(self, subscription_id: str) -> Subscription:
        """A subscription as it is now."""
        answer = await self._call("GET", f"/subscriptions/{subscription_id}")
        return read(Subscription, answer["data"])

    async def list_subscriptions(self) -> AsyncIterator[Subscription]:
        """Every subscription of the store, page by page, newest first.

        One that is made meanwhile may shift another onto a page twice.
        """
        page: str | None = "/subscriptions"
        query: Mapping[str, Any] | None = {
            "filter[store_id]": self.store_id,
            "page[size]": PAGE_SIZE,
        }
        while page is not None:
            answer = await self._call("GET", page, query=query)
            for resource in answer["data"]:
                yield read(Subscription, resource)
            following = answer.get("links", {}).get("next")
            page = following.removeprefix(self.url) if following else None
            query = None

    async def change_variant(
        self, subscription_id: str, variant_id: str, *, charge_now: bool
    ) -> Subscription:
        """Move to another variant at once.

        `charge_now` invoices the difference of the rest of the period immediately; without it
        nothing is prorated, and the new price is charged at the next renewal.
        """
        proration = {"invoice_immediately": True} if charge_now else {"disable_prorations": True}
        return await self._patch(subscription_id, {"variant_id": int(variant_id), **proration})

    async def cancel(self, subscription_id: str) -> Subscription:
        """End a subscription when what is paid for ends."""
        answer = await self._call("DELETE", f"/subscriptions/{subscription_id}")
        return read(Subscription, answer["data"])

    async def resume(self, subscription_id: str) -> Subscription:
        """Take a cancellation back, as long as the subscription has not expired."""
        return await self._patch(subscription_id, {"cancelled": False})

    async def _patch(self, subscription_id: str, attributes: Mapping[str, Any]) -> Subscription:
        data = {"type": "subscriptions", "id": subscription_id, "attributes": attributes}
        answer = await self._call("PATCH", f"/subscriptions/{subscription_id}", {"data": data})
        return read(Subscription, answer["data"])

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            answer = await self.http.request(
                method,
                f"{self.url}{path}",
                json=body,
                params=query,
                headers=self._headers,
                timeout=TIMEOUT_SECONDS,
            )
        except httpx.HTTPError as error:
            log.warning("provider_away", method=method, path=path, error=repr(error))
            raise BillingUnavailable(retry_after_seconds=RETRY_SECONDS) from error
        if answer.is_success:
            return read(TypeAdapter(dict[str, Any]), answer.content)
        raise refusal(method, path, answer)
