"""Events as they are sent: which resource each carries, and the envelope around it."""

from datetime import datetime, timedelta

from libs.testkit.lemon_squeezy.books import Books, Event, later, make_uuid, put_on_agenda
from libs.testkit.lemon_squeezy.links import Resource
from libs.testkit.lemon_squeezy.records import Invoice, Order, Subscription
from libs.testkit.lemon_squeezy.shapes import (
    invoice_resource,
    order_resource,
    subscription_resource,
)


def announce(books: Books, name: str, data: Resource, custom: dict[str, str]) -> None:
    """Append an event. Custom data is left out where the checkout had none."""
    books.event_number += 1
    meta: dict[str, object] = {
        "test_mode": True,
        "event_name": name,
        "webhook_id": make_uuid(books, f"event {books.event_number}"),
    }
    if custom:
        meta["custom_data"] = custom
    document = {"data": data, "meta": meta}
    books.events.append(Event(books.event_number, name, books.now, document))


def announce_order(books: Books, name: str, order: Order) -> None:
    announce(books, name, order_resource(books, order), order.custom)


def announce_invoice(books: Books, name: str, invoice: Invoice) -> None:
    custom = books.subscriptions[invoice.subscription_id].custom
    announce(books, name, invoice_resource(books, invoice), custom)


def announce_subscription(books: Books, name: str, sub: Subscription) -> None:
    announce(books, name, subscription_resource(books, sub), sub.custom)


def changed(books: Books, sub: Subscription, *names: str) -> None:
    """The subscription was changed: tell it under each name and as `subscription_updated`, and
    note when something falls due next."""
    sub.updated_at = later(books, sub.updated_at)
    for name in (*names, "subscription_updated"):
        announce_subscription(books, name, sub)
    put_on_agenda(books, sub.id, due_at(books, sub))


def due_at(books: Books, sub: Subscription) -> datetime | None:
    """When the subscription next changes by itself."""
    if sub.status == "cancelled":
        return sub.ends_at
    if sub.status == "paused":
        resumes = sub.pause.resumes_at if sub.pause else None
        return min(resumes, sub.renews_at) if resumes else sub.renews_at
    if sub.status == "unpaid":
        days = books.rules.dunning_days
        return None if days is None or not sub.unpaid_at else sub.unpaid_at + timedelta(days=days)
    return None if sub.status == "expired" else sub.renews_at
