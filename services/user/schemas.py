"""Requests and answers of the user API."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    Secret,
)
from pydantic.config import JsonDict

from libs.tiers.catalogue import Base, Pool, TierName
from libs.web.text_fields import Name

MAX_PASSWORD_LENGTH = 128
Email = Annotated[EmailStr, AfterValidator(str.lower)]  # one mailbox, one account
NewPassword = Secret[Annotated[str, Field(min_length=10, max_length=MAX_PASSWORD_LENGTH)]]
GivenPassword = Secret[Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH)]]
EXAMPLE_CREDENTIALS: JsonDict = {"email": "ada@example.com", "password": "correct horse battery"}


class Registration(BaseModel):
    """A new account."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{**EXAMPLE_CREDENTIALS, "display_name": "Ada"}]},
    )

    email: Email
    password: NewPassword
    display_name: Name


class Credentials(BaseModel):
    """An e-mail address and a password."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_CREDENTIALS]})

    email: Email
    password: GivenPassword


class RefreshRequest(BaseModel):
    """The refresh token of a login session."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"refresh_token": "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE"}]
        },
    )

    refresh_token: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")


class TokensAnswer(BaseModel):
    """The tokens of a login. `expires_in` is the access token's lifetime in seconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str
    refresh_expires_at: datetime


class UserAnswer(BaseModel):
    """An account as its owner sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    display_name: str
    role: Literal["user", "admin"]
    created_at: datetime


class RegistrationAnswer(TokensAnswer):
    """The new account, logged in."""

    user: UserAnswer


class ProfileChange(BaseModel):
    """What an owner may change of the account."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"display_name": "Ada L."}]}
    )

    display_name: Name


class Limits(BaseModel):
    """What a plan includes; null means unlimited. Credits are whole credits."""

    model_config = ConfigDict(from_attributes=True)

    credits_month: int
    storage_bytes: int
    running_jobs: int
    waiting_jobs: int
    creates_per_hour: int | None
    requests_per_minute: int
    target_wait_p95_seconds: int
    bases: tuple[Base, ...]
    custom_lora: bool
    external_image_api: bool
    api_keys: bool
    public_posts_month: int | None
    gpu_pool: Pool


class EntitlementsAnswer(BaseModel):
    """The caller's plan and what it includes."""

    tier: TierName
    catalogue_version: str
    limits: Limits


class JsonWebKeySet(BaseModel):
    """RFC 7517: the public keys that verify access tokens."""

    keys: list[dict[str, Any]]
