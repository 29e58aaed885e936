"""The provider's books: every record, the clock, what falls due, and the events not yet taken."""

import hashlib
import heapq
import hmac
import json
import random
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from libs.testkit.lemon_squeezy.dates import whole_second
from libs.testkit.lemon_squeezy.records import (
    Checkout,
    Customer,
    Invoice,
    Order,
    Refused,
    Subscription,
)

ONE_SECOND = timedelta(seconds=1)


@dataclass
class Rules:
    """Settings of the store. A failed renewal is tried again `retry_days` after it fell due, then
    the subscription is unpaid; `dunning_days` later it expires, or never if that is None."""

    retry_days: tuple[int, ...] = (3, 7, 10, 14)
    dunning_days: int | None = 14


@dataclass
class Event:
    """One webhook event: the snapshot of a resource at the time, and the bytes that are sent."""

    number: int
    name: str
    at: datetime
    document: dict[str, Any]

    @cached_property
    def body(self) -> bytes:
        """JSON as PHP writes it: slashes and everything beyond ASCII are escaped."""
        return json.dumps(self.document, separators=(",", ":")).replace("/", "\\/").encode()

    def signature(self, secret: str) -> str:
        """`X-Signature`: the HMAC-SHA256 of the body in hex."""
        return sign(secret, self.body)

    def headers(self, secret: str) -> dict[str, str]:
        """The headers of the webhook request."""
        return {
            "Content-Type": "application/json",
            "X-Event-Name": self.name,
            "X-Signature": self.signature(secret),
        }


@dataclass
class Books:
    """The whole state; made by `new_books`, changed by the functions of this package alone."""

    now: datetime
    seed: str
    base_url: str
    store_id: int
    rules: Rules
    next_ids: dict[str, int]
    customers: dict[int, Customer] = field(default_factory=dict)
    checkouts: dict[str, Checkout] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    invoices: dict[int, Invoice] = field(default_factory=dict)
    customer_ids: dict[str, int] = field(default_factory=dict)
    event_number: int = 0
    events: list[Event] = field(default_factory=list)
    agenda: list[tuple[datetime, int]] = field(default_factory=list)


def new_books(
    now: datetime,
    *,
    seed: str | None = None,
    base_url: str = "https://api.lemonsqueezy.com",
    store_id: int = 1,
    rules: Rules | None = None,
) -> Books:
    """Empty books at `now`. The same seed gives the same ids; without one they are random, so
    that the records of two stores hardly ever share an id."""
    seed = secrets.token_hex(8) if seed is None else seed
    dice = random.Random(seed)
    kinds = ("customers", "orders", "items", "subscriptions", "invoices")
    firsts = {kind: dice.randrange(1_000_000, 900_000_000) for kind in kinds}
    return Books(
        whole_second(now), seed, base_url, store_id, rules or Rules(), {**firsts, "numbers": 1}
    )


def sign(secret: str, message: bytes) -> str:
    return hmac.digest(secret.encode(), message, hashlib.sha256).hex()


def next_id(books: Books, kind: str) -> int:
    number = books.next_ids[kind]
    books.next_ids[kind] = number + 1
    return number


def make_uuid(books: Books, what: str) -> str:
    """A version 4 UUID that follows from the seed of the books and `what`."""
    digest = hashlib.sha256(f"{books.seed}:{what}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def later(books: Books, updated_at: datetime) -> datetime:
    """The next `updated_at`: now, and at least a second after the last, since the API knows only
    whole seconds."""
    return max(books.now, updated_at + ONE_SECOND)


def put_on_agenda(books: Books, subscription_id: int, due: datetime | None) -> None:
    """Something falls due; an entry that no longer holds is passed over when its time comes."""
    if due is not None:
        heapq.heappush(books.agenda, (due, subscription_id))


def take_events(books: Books) -> list[Event]:
    """The events since the last call, in the order in which they are sent."""
    taken, books.events = books.events, []
    return taken


def find_subscription(books: Books, subscription_id: int) -> Subscription:
    """Raises Refused 404."""
    if subscription_id not in books.subscriptions:
        raise Refused(f"The subscription {subscription_id} could not be found.", 404)
    return books.subscriptions[subscription_id]


def find_invoice(books: Books, invoice_id: int) -> Invoice:
    """Raises Refused 404."""
    if invoice_id not in books.invoices:
        raise Refused(f"The subscription invoice {invoice_id} could not be found.", 404)
    return books.invoices[invoice_id]


def find_order(books: Books, order_id: int) -> Order:
    """Raises Refused 404."""
    if order_id not in books.orders:
        raise Refused(f"The order {order_id} could not be found.", 404)
    return books.orders[order_id]


def find_checkout(books: Books, checkout_id: str) -> Checkout:
    """Raises Refused 404."""
    if checkout_id not in books.checkouts:
        raise Refused(f"The checkout {checkout_id} could not be found.", 404)
    return books.checkouts[checkout_id]


def latest_invoice(books: Books, subscription_id: int) -> Invoice | None:
    """The newest invoice of a subscription, whatever its status."""
    found = [i for i in books.invoices.values() if i.subscription_id == subscription_id]
    return found[-1] if found else None
