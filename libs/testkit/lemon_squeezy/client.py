"""What tests do with a running double, as coroutines: buy, change, let time pass, look."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydantic import TypeAdapter

from libs.testkit.lemon_squeezy.deliveries import Delivery
from libs.testkit.lemon_squeezy.documents import MEDIA_TYPE
from libs.testkit.lemon_squeezy.records import CARDS, GOOD_CARD, Card
from libs.testkit.lemon_squeezy.runtime import Settings

Document = dict[str, Any]
DELIVERIES = TypeAdapter(list[Delivery])


@dataclass(frozen=True)
class Bought:
    """Ids of what a checkout made, as the API writes them."""

    order_id: str
    subscription_id: str | None


def number_of(card: Card) -> str:
    return next(number for number, known in CARDS.items() if known == card)


class DoubleClient:
    """A customer, a shop and a tester in one. A refused call raises httpx.HTTPStatusError."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.base_url = settings.base_url
        self.api_url = f"{settings.base_url}/v1"
        self.http = httpx.AsyncClient(
            base_url=settings.base_url,
            timeout=40,
            trust_env=False,
            headers={"Authorization": f"Bearer {settings.api_key}", "Accept": "*/*"},
        )

    async def _call(self, method: str, path: str, body: Document | None = None) -> Any:
        kind = MEDIA_TYPE if path.startswith("/v1/") else "application/json"
        headers = {"Content-Type": kind} if body is not None else {}
        answer = await self.http.request(method, path, json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    async def create_checkout(
        self,
        variant_id: int,
        *,
        email: str = "",
        custom: dict[str, str] | None = None,
        skip_trial: bool = False,
        redirect_url: str = "",
    ) -> str:
        """The address of a new checkout page."""
        attributes = {
            "checkout_data": {"email": email, "custom": custom or {}},
            "checkout_options": {"skip_trial": skip_trial},
            "product_options": {"redirect_url": redirect_url},
        }
        relations = {
            "store": ("stores", self.settings.store_id),
            "variant": ("variants", variant_id),
        }
        related = {n: {"data": {"type": t, "id": str(i)}} for n, (t, i) in relations.items()}
        data = {"type": "checkouts", "attributes": attributes, "relationships": related}
        made = await self._call("POST", "/v1/checkouts", {"data": data})
        return str(made["data"]["attributes"]["url"])

    async def pay(
        self, url: str, *, email: str = "", name: str = "", card: Card = GOOD_CARD
    ) -> str:
        """Fill in a checkout page as a browser does; where it leads afterwards."""
        (await self.http.get(url)).raise_for_status()
        form = {"email": email, "name": name, "card_number": number_of(card)}
        answer = await self.http.post(url, data=form)
        if answer.status_code != 303:
            answer.raise_for_status()
        return answer.headers["Location"]

    async def buy(
        self,
        variant_id: int,
        *,
        email: str,
        custom: dict[str, str] | None = None,
        card: Card = GOOD_CARD,
        skip_trial: bool = False,
    ) -> Bought:
        """A checkout, paid; its webhooks are answered when this returns (unless held back)."""
        url = await self.create_checkout(
            variant_id, email=email, custom=custom, skip_trial=skip_trial
        )
        await self.pay(url, email=email, card=card)
        await self.idle()
        order = (await self.find("orders", user_email=email))[0]
        subscriptions = await self.find("subscriptions", order_id=order["id"])
        return Bought(order["id"], subscriptions[0]["id"] if subscriptions else None)

    async def find(self, collection: str, **filters: str) -> list[Document]:
        """The resources of a collection that the filters leave, the newest first."""
        query = "&".join(f"filter[{name}]={value}" for name, value in filters.items())
        url, found = f"/v1/{collection}?page[size]=100&{query}", []
        while url:
            answer = await self._call("GET", url)
            found += answer["data"]
            url = answer["links"].get("next", "").removeprefix(self.base_url)
        return found

    async def subscription(self, subscription_id: str) -> Document:
        """The attributes of a subscription."""
        answer = await self._call("GET", f"/v1/subscriptions/{subscription_id}")
        return dict(answer["data"]["attributes"])

    async def change(self, subscription_id: str, **attributes: Any) -> Document:
        """PATCH a subscription: `cancelled`, `pause`, `variant_id` and the like."""
        data = {"type": "subscriptions", "id": subscription_id, "attributes": attributes}
        answer = await self._call("PATCH", f"/v1/subscriptions/{subscription_id}", {"data": data})
        await self.idle()
        return dict(answer["data"]["attributes"])

    async def refund(self, collection: str, resource_id: str, amount: int | None = None) -> None:
        """Refund of `orders` or `subscription-invoices`, full without `amount` (cents)."""
        attributes = {} if amount is None else {"amount": amount}
        data = {"type": collection, "id": resource_id, "attributes": attributes}
        await self._call("POST", f"/v1/{collection}/{resource_id}/refund", {"data": data})
        await self.idle()

    async def act(self, subscription_id: str, action: str) -> None:
        """`renew`, `recover` or `expire` a subscription now."""
        await self._call("POST", f"/_double/subscriptions/{subscription_id}/{action}")
        await self.idle()

    async def fail_next(self, subscription_id: str, count: int = 1) -> None:
        """The next charges are declined."""
        path = f"/_double/subscriptions/{subscription_id}/charges"
        await self._call("PUT", path, {"fail_next": count})

    async def use_card(self, subscription_id: str, card: Card) -> None:
        """The customer enters another card; an open invoice is charged to it."""
        path = f"/_double/subscriptions/{subscription_id}/charges"
        await self._call("PUT", path, {"card_number": number_of(card)})
        await self.idle()

    async def now(self) -> datetime:
        return datetime.fromisoformat((await self._call("GET", "/_double/clock"))["now"])

    async def advance(self, **duration: float) -> datetime:
        """Let time pass (`days=30`), with all that falls due and its webhooks; the time then."""
        seconds = timedelta(**duration).total_seconds()
        answer = await self._call("POST", "/_double/clock", {"advance_seconds": seconds})
        return datetime.fromisoformat(answer["now"])

    async def idle(self) -> None:
        """Wait until nothing is due to be sent."""
        await self._call("POST", "/_double/idle")

    async def deliveries(self) -> list[Delivery]:
        """Every webhook with its attempts, in the order of the outbox."""
        return DELIVERIES.validate_python(await self._call("GET", "/_double/deliveries"))

    async def hold(self, hold: bool = True) -> None:
        """Keep new webhooks back until they are released."""
        await self._call("PUT", "/_double/outbox", {"hold": hold})

    async def release(self, ids: list[int] | None = None) -> None:
        """Send held webhooks in the given order, or all in their own."""
        await self._call("POST", "/_double/deliveries/release", {"ids": ids})

    async def drop(self, ids: list[int]) -> None:
        """Lose these webhooks."""
        await self._call("POST", "/_double/deliveries/drop", {"ids": ids})

    async def again(self, delivery_id: int) -> None:
        """Send a webhook once more, the same bytes."""
        await self._call("POST", f"/_double/deliveries/{delivery_id}/again")

    async def faults(self, count: int = 1, **order: Any) -> None:
        """The next API calls fail: `status`, `delay_seconds`, `after_effect`."""
        await self._call("POST", "/_double/faults", {"count": count, **order})

    async def limit(self, calls_a_minute: int) -> None:
        await self._call("PUT", "/_double/rate-limit", {"limit": calls_a_minute})

    async def reset(self, **rules: Any) -> None:
        """A fresh store with these `Rules`."""
        await self._call("POST", "/_double/reset", rules)
