"""Rows of the `generation` schema."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import FetchedValue, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.db.base import Base
from libs.tiers.catalogue import Pool, TierName

JobState = Literal["queued", "running", "succeeded", "partial", "failed", "cancelled", "expired"]
Mark = dict[str, Any]  # a moment of a job's life: {"name", "at", ...}
FINAL_STATES: tuple[JobState, ...] = ("succeeded", "partial", "failed", "cancelled", "expired")


class Job(Base):
    """One accepted request. `attempt` is the fencing number of the newest claim."""

    __tablename__ = "jobs"
    __table_args__ = {"schema": "generation"}

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    tier: Mapped[TierName] = mapped_column(String)
    pool: Mapped[Pool] = mapped_column(String)
    model: Mapped[str]
    base: Mapped[str]
    state: Mapped[JobState] = mapped_column(String, default="queued")
    request: Mapped[dict[str, Any]] = mapped_column(JSONB)
    quoted_millicredits: Mapped[int]
    price_version: Mapped[str] = mapped_column(server_default=FetchedValue())
    captured_millicredits: Mapped[int | None]
    attempt: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    images_done: Mapped[int] = mapped_column(default=0)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime]
    due: Mapped[bool] = mapped_column(default=True)
    due_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    marks: Mapped[list[Mark]] = mapped_column(JSONB, server_default=FetchedValue())
    estimate: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    hold_id: Mapped[UUID | None]
    expires_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    @property
    def paying_hold(self) -> UUID:
        """The hold that is settled when the job ends."""
        return self.hold_id or self.id
