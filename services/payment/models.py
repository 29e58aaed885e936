"""Rows of the `billing` schema."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from libs.db.base import Base
from libs.tiers.catalogue import Interval, PackName, TierName
from services.payment.lifecycle_facts import Status

InboxState = Literal["pending", "applied", "ignored", "stuck"]
SCHEMA = {"schema": "billing"}


class InboxEntry(Base):
    """A webhook as it came. `named_user_id` is whom the checkout named; `user_id` is set where an
    admin has assigned it to somebody; both and `body` are gone once that user is erased."""

    __tablename__ = "inbox"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    event_name: Mapped[str]
    subject: Mapped[str]
    body: Mapped[bytes | None]
    body_sha256: Mapped[bytes]
    received_at: Mapped[datetime]
    state: Mapped[InboxState] = mapped_column(String, default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    problem: Mapped[str | None]
    user_id: Mapped[UUID | None]
    named_user_id: Mapped[UUID | None]
    next_try_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]


class SubscriptionState:
    """What one state of a subscription says, as it is observed and as it stands now."""

    user_id: Mapped[UUID]
    customer_id: Mapped[str]
    order_id: Mapped[str]
    user_email: Mapped[str]
    status: Mapped[Status] = mapped_column(String)
    variant_id: Mapped[str]
    tier: Mapped[TierName] = mapped_column(String)
    interval: Mapped[Interval] = mapped_column(String)
    billing_anchor: Mapped[int | None]
    trial_ends_at: Mapped[datetime | None]
    renews_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    resumes_at: Mapped[datetime | None]
    card_brand: Mapped[str | None]
    card_last_four: Mapped[str | None]
    customer_portal_url: Mapped[str | None]
    update_payment_method_url: Mapped[str | None]
    provider_created_at: Mapped[datetime]
    provider_updated_at: Mapped[datetime]


class ObservedState(SubscriptionState, Base):
    """One distinct state of a subscription that was ever seen. Rows form a set."""

    __tablename__ = "observations"
    __table_args__ = SCHEMA

    provider_id: Mapped[str] = mapped_column(primary_key=True)
    content_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    observed_at: Mapped[datetime]


class Subscription(SubscriptionState, Base):
    """The newest observation, and what follows from all of them.

    `tier` is the variant's, in force from the next period; `entitled_tier` is what it gives now.
    """

    __tablename__ = "subscriptions"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    provider_id: Mapped[str]
    entitled_tier: Mapped[TierName] = mapped_column(String)
    past_due_since: Mapped[datetime | None]
    due_at: Mapped[datetime | None]


class Invoice(Base):
    """What a subscription's customer was charged, in cents; `subscription_id` is the provider's."""

    __tablename__ = "invoices"
    __table_args__ = SCHEMA

    provider_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    subscription_id: Mapped[str]
    billing_reason: Mapped[str]
    status: Mapped[str]
    total_cents: Mapped[int]
    refunded_cents: Mapped[int]
    currency: Mapped[str]
    invoice_url: Mapped[str | None]
    created_at: Mapped[datetime]
    provider_updated_at: Mapped[datetime]


class Order(Base):
    """A purchase, in cents: of a pack of credits, or (no pack) the first of a subscription."""

    __tablename__ = "orders"
    __table_args__ = SCHEMA

    provider_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    customer_id: Mapped[str]
    variant_id: Mapped[str]
    pack: Mapped[PackName | None] = mapped_column(String)
    status: Mapped[str]
    total_cents: Mapped[int]
    refunded_cents: Mapped[int]
    currency: Mapped[str]
    receipt_url: Mapped[str | None]
    created_at: Mapped[datetime]
    provider_updated_at: Mapped[datetime]
