"""Topics (`noun.verbed`) and the events that travel on them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from libs.kernel.clock import utc_now

Topic = Literal[
    "job.queued",
    "job.started",
    "job.progressed",
    "job.requeued",
    "job.finished",
    "image.created",
]


class Event(BaseModel):
    """Something that happened to one user's job; `data` is what API.md shows of it."""

    topic: Topic
    user_id: UUID
    job_id: UUID
    at: datetime = Field(default_factory=utc_now)
    data: dict[str, Any] = {}
