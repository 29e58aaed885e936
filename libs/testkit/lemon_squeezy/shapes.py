"""The resources that webhooks carry: orders, subscriptions and their invoices.

Sources of every member: docs/lemon-squeezy.md.
"""

from typing import Any

from libs.testkit.lemon_squeezy.books import Books
from libs.testkit.lemon_squeezy.catalogue import VARIANTS
from libs.testkit.lemon_squeezy.dates import optional_stamp, stamp
from libs.testkit.lemon_squeezy.links import (
    Resource,
    expires,
    money,
    portal_link,
    resource,
    signed,
)
from libs.testkit.lemon_squeezy.records import Invoice, Order, Subscription

SUBSCRIPTION_RELATIONS = (
    "store",
    "customer",
    "order",
    "order-item",
    "product",
    "variant",
    "subscription-items",
    "subscription-invoices",
)
INVOICE_RELATIONS = ("store", "subscription", "customer")
ORDER_RELATIONS = (
    "store",
    "customer",
    "order-items",
    "subscriptions",
    "license-keys",
    "discount-redemptions",
)


def words(status: str) -> str:
    """`past_due` as `Past due`."""
    return status.replace("_", " ").capitalize()


def subscription_resource(books: Books, sub: Subscription) -> Resource:
    """What `GET /v1/subscriptions/{id}` gives and `subscription_*` events carry."""
    variant, customer = VARIANTS[sub.variant_id], books.customers[sub.customer_id]
    attributes = {
        "store_id": books.store_id,
        "customer_id": customer.id,
        "order_id": sub.order_id,
        "order_item_id": sub.order_item_id,
        "product_id": variant.product_id,
        "variant_id": variant.id,
        "product_name": variant.product_name,
        "variant_name": variant.name,
        "user_name": customer.name,
        "user_email": customer.email,
        "status": sub.status,
        "status_formatted": words(sub.status),
        "card_brand": sub.card.brand,
        "card_last_four": sub.card.last_four,
        "payment_processor": "stripe",
        "pause": _pause(sub),
        "cancelled": sub.status == "cancelled",
        "trial_ends_at": optional_stamp(sub.trial_ends_at) if sub.status == "on_trial" else None,
        "billing_anchor": sub.anchor_day,
        "first_subscription_item": _item(sub),
        "urls": _urls(books, sub),
        "renews_at": stamp(sub.renews_at),
        "ends_at": optional_stamp(sub.ends_at),
        "created_at": stamp(sub.created_at),
        "updated_at": stamp(sub.updated_at),
        "test_mode": True,
    }
    return resource(books, "subscriptions", sub.id, attributes, SUBSCRIPTION_RELATIONS)


def _pause(sub: Subscription) -> dict[str, Any] | None:
    if sub.pause is None:
        return None
    return {"mode": sub.pause.mode, "resumes_at": optional_stamp(sub.pause.resumes_at)}


def _item(sub: Subscription) -> dict[str, Any] | None:
    if sub.status == "on_trial":
        return None
    return {
        "id": sub.item_id,
        "subscription_id": sub.id,
        "price_id": sub.variant_id,
        "quantity": 1,
        "is_usage_based": False,
        "created_at": stamp(sub.created_at),
        "updated_at": stamp(sub.item_updated_at),
    }


def _urls(books: Books, sub: Subscription) -> dict[str, str]:
    until = expires(books)
    return {
        "update_payment_method": signed(
            books, f"/subscription/{sub.id}/payment-details?expires={until}"
        ),
        "customer_portal": portal_link(books, sub.customer_id),
        "customer_portal_update_subscription": signed(
            books, f"/billing/{sub.id}/update?expires={until}&user={sub.customer_id}"
        ),
    }


def amounts(**cents: int) -> dict[str, int | str]:
    """Each amount three times: in the currency, in USD, and formatted."""
    return {
        **cents,
        **{f"{name}_usd": value for name, value in cents.items()},
        **{f"{name}_formatted": money(value) for name, value in cents.items()},
    }


def invoice_resource(books: Books, invoice: Invoice) -> Resource:
    """What `GET /v1/subscription-invoices/{id}` gives and `subscription_payment_*` events carry:
    no renewal date and no variant."""
    customer = books.customers[invoice.customer_id]
    attributes = {
        "store_id": books.store_id,
        "subscription_id": invoice.subscription_id,
        "customer_id": customer.id,
        "user_name": customer.name,
        "user_email": customer.email,
        "billing_reason": invoice.reason,
        "card_brand": invoice.card.brand if invoice.total else None,
        "card_last_four": invoice.card.last_four if invoice.total else None,
        "currency": "USD",
        "currency_rate": "1.00000000",
        "status": invoice.status,
        "status_formatted": words(invoice.status),
        "refunded": invoice.status == "refunded",
        "refunded_at": optional_stamp(invoice.refunded_at),
        "tax_inclusive": False,
        **amounts(
            subtotal=invoice.subtotal,
            discount_total=0,
            tax=0,
            total=invoice.total,
            refunded_amount=invoice.refunded,
        ),
        "urls": {"invoice_url": _invoice_link(books, invoice)},
        "created_at": stamp(invoice.created_at),
        "updated_at": stamp(invoice.updated_at),
        "test_mode": True,
    }
    return resource(books, "subscription-invoices", invoice.id, attributes, INVOICE_RELATIONS)


def _invoice_link(books: Books, invoice: Invoice) -> str | None:
    if invoice.status == "pending":
        return None
    order = books.orders[books.subscriptions[invoice.subscription_id].order_id]
    return signed(books, f"/my-orders/{order.identifier}/subscription-invoice/{invoice.id}")


def order_status(order: Order) -> str:
    if order.refunded == 0:
        return "paid"
    return "refunded" if order.refunded >= order.total else "partial_refund"


def receipt_link(books: Books, order: Order) -> str:
    return signed(books, f"/my-orders/{order.identifier}")


def order_resource(books: Books, order: Order) -> Resource:
    """What `GET /v1/orders/{id}` gives and `order_*` events carry."""
    customer, status = books.customers[order.customer_id], order_status(order)
    attributes = {
        "store_id": books.store_id,
        "customer_id": customer.id,
        "identifier": order.identifier,
        "order_number": order.number,
        "user_name": customer.name,
        "user_email": customer.email,
        "currency": "USD",
        "currency_rate": "1.00000000",
        "tax_name": None,
        "tax_rate": "0.00",
        "tax_inclusive": False,
        "status": status,
        "status_formatted": words(status),
        "refunded": status == "refunded",
        "refunded_at": optional_stamp(order.refunded_at),
        **amounts(
            subtotal=order.total,
            setup_fee=0,
            discount_total=0,
            tax=0,
            total=order.total,
            refunded_amount=order.refunded,
        ),
        "first_order_item": _order_item(order),
        "urls": {"receipt": receipt_link(books, order)},
        "created_at": stamp(order.created_at),
        "updated_at": stamp(order.updated_at),
        "test_mode": True,
    }
    return resource(books, "orders", order.id, attributes, ORDER_RELATIONS)


def _order_item(order: Order) -> dict[str, Any]:
    variant = VARIANTS[order.variant_id]
    return {
        "id": order.item_id,
        "order_id": order.id,
        "product_id": variant.product_id,
        "variant_id": variant.id,
        "price_id": variant.id,
        "quantity": 1,
        "product_name": variant.product_name,
        "variant_name": variant.name,
        "price": order.total,
        "created_at": stamp(order.created_at),
        "updated_at": stamp(order.created_at),
        "test_mode": True,
    }
