"""The resources that webhooks do not carry: checkouts, customers, variants, products, the store."""

from typing import Any

from libs.testkit.lemon_squeezy.books import Books
from libs.testkit.lemon_squeezy.catalogue import PRODUCTS, VARIANTS, Variant
from libs.testkit.lemon_squeezy.checkouts import price_of
from libs.testkit.lemon_squeezy.dates import optional_stamp, stamp
from libs.testkit.lemon_squeezy.links import Resource, money, portal_link, resource, signed
from libs.testkit.lemon_squeezy.records import Checkout, Customer, Invoice, Subscription
from libs.testkit.lemon_squeezy.shapes import amounts, words

OPENED = "2026-01-01T00:00:00.000000Z"
TIMES = {"created_at": OPENED, "updated_at": OPENED}

PRODUCT_OPTIONS: dict[str, Any] = {
    "name": "",
    "description": "",
    "media": [],
    "redirect_url": "",
    "receipt_button_text": "",
    "receipt_link_url": "",
    "receipt_thank_you_note": "",
    "enabled_variants": [],
}
CHECKOUT_OPTIONS: dict[str, Any] = {
    "embed": False,
    "media": True,
    "logo": True,
    "desc": True,
    "discount": True,
    "skip_trial": False,
    "subscription_preview": True,
}
CHECKOUT_DATA: dict[str, Any] = {
    "email": "",
    "name": "",
    "billing_address": [],
    "tax_number": "",
    "discount_code": "",
    "variant_quantities": [],
}


def checkout_url(books: Books, checkout: Checkout) -> str:
    """The page where it is paid; the link carries its end and a signature."""
    path = f"/checkout/custom/{checkout.id}"
    if checkout.expires_at is not None:
        path += f"?expires={int(checkout.expires_at.timestamp())}"
    return signed(books, path)


def checkout_resource(books: Books, checkout: Checkout, preview: bool = False) -> Resource:
    """What `GET /v1/checkouts/{id}` gives; `preview` only where it was asked for."""
    data = {**CHECKOUT_DATA, **checkout.checkout_data}
    attributes = {
        "store_id": books.store_id,
        "variant_id": checkout.variant_id,
        "custom_price": checkout.custom_price,
        "product_options": {**PRODUCT_OPTIONS, **checkout.product_options},
        "checkout_options": {**CHECKOUT_OPTIONS, **checkout.checkout_options},
        "checkout_data": {**data, "custom": data["custom"] or []},
        "expires_at": optional_stamp(checkout.expires_at),
        "created_at": stamp(checkout.created_at),
        "updated_at": stamp(checkout.created_at),
        "test_mode": True,
        "url": checkout_url(books, checkout),
    }
    if preview:
        price = price_of(checkout)
        attributes["preview"] = {
            "currency": "USD",
            "currency_rate": 1,
            **amounts(subtotal=price, discount_total=0, tax=0, total=price),
        }
    return resource(books, "checkouts", checkout.id, attributes, ("store", "variant"))


def customer_resource(books: Books, customer: Customer) -> Resource:
    """What `GET /v1/customers/{id}` gives."""
    orders = [o for o in books.orders.values() if o.customer_id == customer.id]
    paid = sum(i.total for i in books.invoices.values() if _paid_by(i, customer))
    paid += sum(o.total for o in orders if o.invoice_id is None)
    monthly = sum(_monthly(s) for s in books.subscriptions.values() if _runs_for(s, customer))
    has_portal = any(o.subscription_id for o in orders)
    attributes = {
        "store_id": books.store_id,
        "name": customer.name,
        "email": customer.email,
        "status": "subscribed",
        "city": None,
        "region": None,
        "country": None,
        "total_revenue_currency": paid,
        "mrr": monthly,
        "status_formatted": "Subscribed",
        "country_formatted": None,
        "total_revenue_currency_formatted": money(paid),
        "mrr_formatted": money(monthly),
        "urls": {"customer_portal": portal_link(books, customer.id) if has_portal else None},
        "created_at": stamp(customer.created_at),
        "updated_at": stamp(customer.updated_at),
        "test_mode": True,
    }
    relations = ("store", "orders", "subscriptions", "license-keys")
    return resource(books, "customers", customer.id, attributes, relations)


def _paid_by(invoice: Invoice, customer: Customer) -> bool:
    return invoice.customer_id == customer.id and invoice.status not in ("pending", "void")


def _runs_for(sub: Subscription, customer: Customer) -> bool:
    return sub.customer_id == customer.id and sub.status == "active"


def _monthly(sub: Subscription) -> int:
    return sub.price // 12 if VARIANTS[sub.variant_id].interval == "year" else sub.price


def variant_resource(books: Books, variant: Variant) -> Resource:
    """What `GET /v1/variants/{id}` gives."""
    attributes = {
        "product_id": variant.product_id,
        "name": variant.name,
        "slug": f"variant-{variant.id}",
        "description": "",
        "price": variant.price_cents,
        "is_subscription": variant.interval is not None,
        "interval": variant.interval,
        "interval_count": 1 if variant.interval else None,
        "has_free_trial": variant.trial_days > 0,
        "trial_interval": "day",
        "trial_interval_count": variant.trial_days,
        "pay_what_you_want": False,
        "min_price": 0,
        "suggested_price": 0,
        "has_license_keys": False,
        "sort": 1,
        "status": "published",
        "status_formatted": words("published"),
        **TIMES,
        "test_mode": True,
    }
    return resource(books, "variants", variant.id, attributes, ("product", "files", "price-model"))


def product_resource(books: Books, product_id: int) -> Resource:
    """What `GET /v1/products/{id}` gives."""
    prices = [v.price_cents for v in VARIANTS.values() if v.product_id == product_id]
    attributes = {
        "store_id": books.store_id,
        "name": PRODUCTS[product_id],
        "slug": f"product-{product_id}",
        "description": "",
        "status": "published",
        "status_formatted": words("published"),
        "price": prices[0],
        "price_formatted": money(prices[0]),
        "from_price": min(prices),
        "to_price": max(prices),
        "pay_what_you_want": False,
        **TIMES,
        "test_mode": True,
    }
    return resource(books, "products", product_id, attributes, ("store", "variants"))


def store_resource(books: Books) -> Resource:
    """What `GET /v1/stores/{id}` gives."""
    attributes = {
        "name": "Easel (local double)",
        "slug": "easel",
        "domain": books.base_url.split("//")[1],
        "url": books.base_url,
        "plan": "fresh",
        "country": "US",
        "country_nicename": "United States",
        "currency": "USD",
        "total_sales": len(books.orders),
        **TIMES,
    }
    relations = ("products", "orders", "subscriptions", "discounts", "license-keys", "webhooks")
    return resource(books, "stores", books.store_id, attributes, relations)
