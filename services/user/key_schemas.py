"""Requests and answers about API keys."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from libs.auth.principals import Scope
from libs.credits.amounts import MAX_MILLICREDITS
from libs.credits.caps import Period
from libs.web.moments import Moment
from libs.web.text_fields import Name


def require_distinct(scopes: list[Scope]) -> list[Scope]:
    """Raises ValueError for a scope that is named twice."""
    if len(set(scopes)) < len(scopes):
        raise ValueError("must not name a scope twice")
    return scopes


Scopes = Annotated[list[Scope], Field(min_length=1), AfterValidator(require_distinct)]


class KeySpendCap(BaseModel):
    """At most so much in a period; periods are UTC days and months, or all the key's life."""

    model_config = ConfigDict(extra="forbid")

    period: Period
    millicredits: int = Field(ge=0, le=MAX_MILLICREDITS)


class ApiKeyRequest(BaseModel):
    """A new key: what it is called, what it may do, until when, and what it may spend."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly batch",
                    "scopes": ["generations:write", "generations:read", "images:read"],
                    "expires_at": "2030-01-01T00:00:00Z",
                    "spend_cap": {"period": "day", "millicredits": 50_000},
                }
            ]
        },
    )

    name: Name
    scopes: Scopes
    expires_at: Moment | None = None
    spend_cap: KeySpendCap | None = None


class ApiKeyAnswer(BaseModel):
    """A key as its owner sees it; `prefix` is how it begins, `last_used_at` is to the minute."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    ended_at: datetime | None
    spend_caps: list[KeySpendCap] = Field(default_factory=list)


class NewApiKeyAnswer(ApiKeyAnswer):
    """A key that was just made. `key` is shown now and never again."""

    key: str
