"""Requests and answers of staff."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from libs.auth.principals import Role
from libs.tiers.catalogue import TierName
from libs.web.text_fields import PlainText

Reason = Annotated[PlainText, Field(min_length=1, max_length=500)]


class AccountAnswer(BaseModel):
    """An account as staff see it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    display_name: str
    role: Role
    tier: TierName
    has_password: bool
    created_at: datetime
    suspended_at: datetime | None


class AccessChange(BaseModel):
    """What an administrator changes of an account, and why; the reason names nobody."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"suspended": True, "reason": "stolen cards, case 4711"}]},
    )

    role: Role | None = None
    suspended: StrictBool | None = None
    reason: Reason

    @model_validator(mode="after")
    def require_a_change(self) -> Self:
        """A change changes something."""
        if self.role is None and self.suspended is None:
            raise ValueError("role or suspended must be given")
        return self


class AuditLineAnswer(BaseModel):
    """Who changed what, when. `user_id` is whose it was; null: nobody's that is known."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    user_id: UUID | None
    details: dict[str, Any]
