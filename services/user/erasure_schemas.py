"""Requests and answers of deleting an account and of exporting all that is in it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.user.schemas import Email


class ErasureRequest(BaseModel):
    """The caller's own e-mail address, so that nobody deletes an account by mistake."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"confirm": "ada@example.com"}]}
    )

    confirm: Email


class ErasureAnswer(BaseModel):
    """The account is gone; what it left in other places follows within minutes."""

    id: UUID
    state: Literal["requested"] = "requested"
    requested_at: datetime


class ExportAnswer(BaseModel):
    """An archive of everything. `url` downloads it until `url_expires_at`, and a new one is
    answered each time until `expires_at`, when the archive is deleted."""

    id: UUID
    state: Literal["requested", "making", "ready", "failed"]
    requested_at: datetime
    size_bytes: int | None
    ready_at: datetime | None
    expires_at: datetime | None
    url: str | None
    url_expires_at: datetime | None
