"""Rows of the `webhooks` schema that their owners manage."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ARRAY, FetchedValue, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.db.base import Base

DisabledReason = Literal["owner", "gone", "failing"]
DeliveryState = Literal["pending", "delivered", "failed"]


class Endpoint(Base):
    """A URL that is told. `all_jobs`: of every job, else of those alone that name it.

    `failing_since`: no delivery has succeeded since; None while they do.
    """

    __tablename__ = "endpoints"
    __table_args__ = {"schema": "webhooks"}

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    url: Mapped[str]
    description: Mapped[str]
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    all_jobs: Mapped[bool]
    created_at: Mapped[datetime]
    failing_since: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[DisabledReason | None] = mapped_column(String)


class Delivery(Base):
    """One message to one endpoint. `attempt` is the fencing number of the newest try."""

    __tablename__ = "deliveries"
    __table_args__ = {"schema": "webhooks"}

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    endpoint_id: Mapped[UUID]
    message_id: Mapped[UUID]
    type: Mapped[str]
    body: Mapped[str]
    state: Mapped[DeliveryState] = mapped_column(String, default="pending")
    attempt: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    log: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=FetchedValue())
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
