"""Checkouts and what paying one makes: an order, and a subscription where the variant renews."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from libs.testkit.lemon_squeezy.announcements import (
    announce_invoice,
    announce_order,
    announce_subscription,
    due_at,
)
from libs.testkit.lemon_squeezy.books import (
    ONE_SECOND,
    Books,
    find_checkout,
    make_uuid,
    next_id,
    put_on_agenda,
)
from libs.testkit.lemon_squeezy.catalogue import VARIANTS, Variant
from libs.testkit.lemon_squeezy.charges import write_invoice
from libs.testkit.lemon_squeezy.dates import next_period_end
from libs.testkit.lemon_squeezy.records import (
    GOOD_CARD,
    Card,
    Checkout,
    Customer,
    Invoice,
    Order,
    PaymentDeclined,
    Refused,
    Subscription,
)


@dataclass(frozen=True)
class Purchase:
    """What a paid checkout made; a pack has no subscription and no invoice."""

    order: Order
    subscription: Subscription | None = None
    invoice: Invoice | None = None


def create_checkout(
    books: Books,
    variant_id: int,
    *,
    custom: dict[str, str] | None = None,
    email: str = "",
    name: str = "",
    custom_price: int | None = None,
    expires_at: datetime | None = None,
    product_options: dict[str, Any] | None = None,
    checkout_options: dict[str, Any] | None = None,
) -> Checkout:
    """A page where a customer can pay. Raises Refused 404 for an unknown variant."""
    if variant_id not in VARIANTS:
        raise Refused("The related resource does not exist.", 404, "/data/relationships/variant")
    checkout = Checkout(
        id=make_uuid(books, f"checkout {next_id(books, 'items')}"),
        variant_id=variant_id,
        custom_price=custom_price,
        product_options=product_options or {},
        checkout_options=checkout_options or {},
        checkout_data={"email": email, "name": name, "custom": dict(custom or {})},
        expires_at=expires_at,
        created_at=books.now,
    )
    books.checkouts[checkout.id] = checkout
    return checkout


def offers_trial(books: Books, checkout: Checkout, email: str) -> bool:
    """A trial comes with the first subscription of an e-mail address alone."""
    if checkout.checkout_options.get("skip_trial") or not VARIANTS[checkout.variant_id].trial_days:
        return False
    known = books.customer_ids.get(email.strip().lower())
    return known is None or not books.customers[known].had_trial


def price_of(checkout: Checkout) -> int:
    price = checkout.custom_price
    return VARIANTS[checkout.variant_id].price_cents if price is None else price


def pay_checkout(
    books: Books,
    checkout_id: str,
    *,
    email: str | None = None,
    name: str | None = None,
    card: Card = GOOD_CARD,
) -> Purchase:
    """The customer pays. Events: `order_created`, and for a subscription `subscription_created`,
    `subscription_payment_success`, `subscription_updated`.

    Raises PaymentDeclined, which leaves no trace, and Refused for a checkout that is unknown,
    expired or paid, or without an e-mail address.
    """
    checkout = find_checkout(books, checkout_id)
    if checkout.order_id is not None:
        raise Refused("This checkout has been paid already.")
    if checkout.expires_at is not None and checkout.expires_at <= books.now:
        raise Refused("This checkout has expired.")
    email = (email or checkout.checkout_data["email"]).strip()
    if "@" not in email:
        raise Refused("An e-mail address is needed.")
    if card.declines_at == "checkout":
        raise PaymentDeclined("The card was declined.", 402)
    trial = offers_trial(books, checkout, email)
    customer = _customer(books, email, name or checkout.checkout_data["name"])
    order = _order(books, checkout, customer, 0 if trial else price_of(checkout))
    variant = VARIANTS[checkout.variant_id]
    if variant.interval is None:
        announce_order(books, "order_created", order)
        return Purchase(order)
    customer.had_trial = True
    return _subscribe(books, checkout, order, card, trial)


def purchase(
    books: Books,
    variant_id: int,
    *,
    email: str,
    custom: dict[str, str] | None = None,
    card: Card = GOOD_CARD,
    skip_trial: bool = False,
) -> Purchase:
    """A checkout and its payment in one."""
    options = {"skip_trial": skip_trial}
    checkout = create_checkout(
        books, variant_id, custom=custom, email=email, checkout_options=options
    )
    return pay_checkout(books, checkout.id, card=card)


def _customer(books: Books, email: str, name: str) -> Customer:
    known = books.customer_ids.get(email.lower())
    if known is not None:
        return books.customers[known]
    customer = Customer(
        next_id(books, "customers"), email, name or email.split("@")[0], books.now, books.now
    )
    books.customers[customer.id] = customer
    books.customer_ids[email.lower()] = customer.id
    return customer


def _order(books: Books, checkout: Checkout, customer: Customer, total: int) -> Order:
    order_id = next_id(books, "orders")
    order = Order(
        id=order_id,
        identifier=make_uuid(books, f"order {order_id}"),
        number=next_id(books, "numbers"),
        item_id=next_id(books, "items"),
        customer_id=customer.id,
        variant_id=checkout.variant_id,
        total=total,
        created_at=books.now,
        updated_at=books.now,
        custom=dict(checkout.checkout_data["custom"]),
    )
    books.orders[order.id] = order
    checkout.order_id = order.id
    return order


def _subscribe(books: Books, checkout: Checkout, order: Order, card: Card, trial: bool) -> Purchase:
    sub = _subscription(books, checkout, order, card, trial)
    books.subscriptions[sub.id] = sub
    invoice = write_invoice(books, sub, "initial", 0 if trial else sub.price)
    invoice.status = "paid"
    order.subscription_id, order.invoice_id = sub.id, invoice.id
    announce_order(books, "order_created", order)
    announce_subscription(books, "subscription_created", sub)
    announce_invoice(books, "subscription_payment_success", invoice)
    # As recorded: the same `updated_at` as in `subscription_created`, yet another content.
    sub.item_updated_at = sub.created_at + ONE_SECOND
    announce_subscription(books, "subscription_updated", sub)
    put_on_agenda(books, sub.id, due_at(books, sub))
    return Purchase(order, sub, invoice)


def _first_period_end(variant: Variant, start: datetime, trial: bool) -> datetime:
    if trial or variant.interval is None:
        return start + timedelta(days=variant.trial_days)
    return next_period_end(start, variant.interval, start.day)


def _subscription(
    books: Books, checkout: Checkout, order: Order, card: Card, trial: bool
) -> Subscription:
    variant = VARIANTS[checkout.variant_id]
    end = _first_period_end(variant, books.now, trial)
    return Subscription(
        id=next_id(books, "subscriptions"),
        item_id=next_id(books, "items"),
        customer_id=order.customer_id,
        order_id=order.id,
        order_item_id=order.item_id,
        variant_id=variant.id,
        price=price_of(checkout),
        card=card,
        status="on_trial" if trial else "active",
        anchor_day=end.day if trial else books.now.day,
        period_start=books.now,
        period_end=end,
        renews_at=end,
        created_at=books.now,
        updated_at=books.now,
        item_updated_at=books.now,
        custom=dict(order.custom),
        trial_ends_at=end if trial else None,
    )
