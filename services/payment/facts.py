"""From the provider's documents to rows, and from rows to the facts that are judged: pure."""

import hashlib
import json
from typing import Any

from services.payment.lemon_squeezy.resources import (
    InvoiceResource,
    OrderResource,
    SubscriptionResource,
)
from services.payment.lifecycle_facts import Observation, Payment
from services.payment.models import Invoice, ObservedState
from services.payment.offers import Offer, PackOffer, PlanOffer

PAID = ("paid", "partial_refund", "refunded")
# The provider signs its pages anew with every answer: another link is no other state.
LINKS = ("customer_portal_url", "update_payment_method_url")


def state_values(resource: SubscriptionResource, offer: PlanOffer) -> dict[str, Any]:
    """The columns of an observation, without whose it is."""
    attributes = resource.attributes
    told = {
        "provider_id": resource.id,
        "customer_id": attributes.customer_id,
        "order_id": attributes.order_id,
        "user_email": attributes.user_email,
        "status": attributes.status,
        "variant_id": attributes.variant_id,
        "billing_anchor": attributes.billing_anchor,
        "trial_ends_at": attributes.trial_ends_at,
        "renews_at": attributes.renews_at,
        "ends_at": attributes.ends_at,
        "resumes_at": attributes.pause.resumes_at if attributes.pause else None,
        "card_brand": attributes.card_brand,
        "card_last_four": attributes.card_last_four,
        "customer_portal_url": attributes.urls.customer_portal,
        "update_payment_method_url": attributes.urls.update_payment_method,
        "provider_created_at": attributes.created_at,
        "provider_updated_at": attributes.updated_at,
    }
    derived = {"tier": offer.tier, "interval": offer.interval}
    return {**told, **derived, "content_sha256": digest_of(told)}


def digest_of(told: dict[str, Any]) -> bytes:
    """SHA-256 of what a state says."""
    content = {name: value for name, value in told.items() if name not in LINKS}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).digest()


def observation_of(row: ObservedState) -> Observation:
    """A row of the set as a fact."""
    return Observation(
        subscription=row.provider_id,
        status=row.status,
        tier=row.tier,
        interval=row.interval,
        created_at=row.provider_created_at,
        updated_at=row.provider_updated_at,
        renews_at=row.renews_at,
        trial_ends_at=row.trial_ends_at,
        ends_at=row.ends_at,
        billing_anchor=row.billing_anchor,
        digest=row.content_sha256,
    )


def invoice_values(resource: InvoiceResource) -> dict[str, Any]:
    """The columns of an invoice, without whose it is."""
    attributes = resource.attributes
    return {
        "provider_id": resource.id,
        "subscription_id": attributes.subscription_id,
        "billing_reason": attributes.billing_reason,
        "status": attributes.status,
        "total_cents": attributes.total,
        "refunded_cents": refunded_cents(
            attributes.status, attributes.total, attributes.refunded_amount
        ),
        "currency": attributes.currency,
        "invoice_url": attributes.urls.invoice_url,
        "created_at": attributes.created_at,
        "provider_updated_at": attributes.updated_at,
    }


def refunded_cents(status: str, total: int, refunded: int) -> int:
    """What was given back: all of it, if the status says so."""
    return total if status == "refunded" else refunded


def payment_of(row: Invoice) -> Payment:
    """An invoice as a fact."""
    return Payment(
        invoice=row.provider_id,
        subscription=row.subscription_id,
        reason=row.billing_reason,
        created_at=row.created_at,
        is_paid=row.status in PAID,
        total_cents=row.total_cents,
        refunded_cents=row.refunded_cents,
    )


def order_values(resource: OrderResource, offer: Offer) -> dict[str, Any]:
    """The columns of an order, without whose it is; a plan's first order has no pack."""
    attributes = resource.attributes
    return {
        "provider_id": resource.id,
        "customer_id": attributes.customer_id,
        "variant_id": attributes.first_order_item.variant_id,
        "pack": offer.pack if isinstance(offer, PackOffer) else None,
        "status": attributes.status,
        "total_cents": attributes.total,
        "refunded_cents": refunded_cents(
            attributes.status, attributes.total, attributes.refunded_amount
        ),
        "currency": attributes.currency,
        "receipt_url": attributes.urls.receipt,
        "created_at": attributes.created_at,
        "provider_updated_at": attributes.updated_at,
    }
