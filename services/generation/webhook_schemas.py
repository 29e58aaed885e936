"""Requests and answers about customer webhooks."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from libs.web.outgoing import MAX_URL_LENGTH
from libs.web.text_fields import PlainText
from libs.webhooks.messages import MESSAGE_TYPES, MessageType
from libs.webhooks.models import DeliveryState, DisabledReason

EXAMPLE: dict[str, JsonValue] = {
    "url": "https://hooks.example.com/easel",
    "description": "our shop",
    "events": ["generation.succeeded", "generation.failed"],
    "all_jobs": True,
}


def require_distinct(events: list[MessageType]) -> list[MessageType]:
    """Raises ValueError for a type that is named twice."""
    if len(set(events)) < len(events):
        raise ValueError("must not name an event twice")
    return events


Url = Annotated[PlainText, Field(min_length=1, max_length=MAX_URL_LENGTH)]
Description = Annotated[PlainText, Field(max_length=200)]
Events = Annotated[
    list[MessageType],
    Field(min_length=1, max_length=len(MESSAGE_TYPES)),
    AfterValidator(require_distinct),
]


class WebhookRequest(BaseModel):
    """Where to tell what: all events by default.

    `all_jobs` false: of those jobs alone whose request names the webhook (`webhook_id`).
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    url: Url
    description: Description = ""
    events: Events = Field(default_factory=lambda: list(MESSAGE_TYPES))
    all_jobs: bool = True


class WebhookChange(BaseModel):
    """What is named is changed. `enabled` true begins anew where we had switched it off."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"events": ["image.created"], "enabled": True}]},
    )

    url: Url | None = None
    description: Description | None = None
    events: Events | None = None
    all_jobs: bool | None = None
    enabled: bool | None = None


class WebhookAnswer(BaseModel):
    """A webhook as its owner sees it.

    `disabled_reason`: `owner`; `gone` (it answered 410); `failing` (no success for days).
    `failing_since`: no delivery has succeeded since.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    url: str
    description: str
    events: list[str]
    all_jobs: bool
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None


class NewWebhookAnswer(WebhookAnswer):
    """A webhook that was just made. `secret` (`whsec_...`) is shown now and never again."""

    secret: str


class SecretAnswer(BaseModel):
    """A new secret, shown now and never again; the old one signs beside it until it expires."""

    secret: str
    old_expires_at: datetime


class TryAnswer(BaseModel):
    """One try. `status` null: there was no answer, and `error` says why.

    `answer` is its first kibibyte; `seconds` is how long it took.
    """

    attempt: int
    at: datetime
    status: int | None
    seconds: float
    answer: str
    error: str | None


class DeliveryAnswer(BaseModel):
    """A message to a webhook. `message_id` is the header `webhook-id` of every try.

    `tries` holds the newest; `next_try_at` is null once it was delivered or given up.
    """

    id: UUID
    message_id: UUID
    type: str
    payload: dict[str, Any]
    state: DeliveryState
    attempts: int
    next_try_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    tries: list[TryAnswer]
