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
    StrictBool,
)
from pydantic.config import JsonDict

from libs.auth.principals import Role
from libs.tiers.catalogue import Base, Pool, TierName
from libs.web.text_fields import Name

MIN_PASSWORD_LENGTH = 10
MAX_PASSWORD_LENGTH = 128
Email = Annotated[EmailStr, AfterValidator(str.lower)]  # one mailbox, one account
NewPassword = Secret[
    Annotated[str, Field(min_length=MIN_PASSWORD_LENGTH, max_length=MAX_PASSWORD_LENGTH)]
]
GivenPassword = Secret[Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH)]]
OpaqueToken = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]
EXAMPLE_TOKEN = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE"
EXAMPLE_NEW_PASSWORD = "staple battery horse"
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


class RegistrationPending(BaseModel):
    """The same for every address: an e-mail says how to go on."""

    status: Literal["confirm_email"] = "confirm_email"


class Confirmation(BaseModel):
    """The token of the link in the e-mail, and the password that was chosen at registration."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"token": EXAMPLE_TOKEN, "password": EXAMPLE_CREDENTIALS["password"]}]
        },
    )

    token: OpaqueToken
    password: GivenPassword


class Credentials(BaseModel):
    """An e-mail address and a password."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_CREDENTIALS]})

    email: Email
    password: GivenPassword


class RefreshRequest(BaseModel):
    """The refresh token of a login session; a browser has it as a cookie instead."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"refresh_token": EXAMPLE_TOKEN}]}
    )

    refresh_token: OpaqueToken | None = None


class ForgottenPassword(BaseModel):
    """The address of an account."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"email": EXAMPLE_CREDENTIALS["email"]}]}
    )

    email: Email


class ResetPending(BaseModel):
    """The same for every address: an e-mail says how to go on."""

    status: Literal["reset_password"] = "reset_password"


class EndsKeys(BaseModel):
    """`end_api_keys`: whether the account's API keys end, too; all other logins always do."""

    end_api_keys: StrictBool = False


class PasswordChoice(EndsKeys):
    """The token of the link in the e-mail, and a new password."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"token": EXAMPLE_TOKEN, "password": EXAMPLE_NEW_PASSWORD}]
        },
    )

    token: OpaqueToken
    password: NewPassword


class PasswordChange(EndsKeys):
    """The password, and the one that shall take its place."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "current_password": EXAMPLE_CREDENTIALS["password"],
                    "new_password": EXAMPLE_NEW_PASSWORD,
                }
            ]
        },
    )

    current_password: GivenPassword
    new_password: NewPassword


class TokensAnswer(BaseModel):
    """The tokens of a login. `expires_in` is the access token's lifetime in seconds.

    `refresh_token` is null for a browser, which has it as a cookie.
    """

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str | None
    refresh_expires_at: datetime


class UserAnswer(BaseModel):
    """An account as its owner sees it; without a password, a provider logs it in."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    display_name: str
    email_verified: bool
    has_password: bool
    role: Role
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


class Use(BaseModel):
    """How much of a limit is used; null means unlimited."""

    used: int
    limit: int | None
    left: int | None


class Usage(BaseModel):
    """What is used at this moment. Credits of running and waiting jobs are held, not available."""

    available_millicredits: int
    available_credits: str
    held_millicredits: int
    held_credits: str
    running_jobs: Use
    waiting_jobs: Use
    creates_this_hour: Use
    storage_bytes: Use


class EntitlementsAnswer(BaseModel):
    """The caller's plan, what it includes, and what of that is used."""

    tier: TierName
    catalogue_version: str
    limits: Limits
    usage: Usage


class SessionAnswer(BaseModel):
    """A login that has not ended. `current` is the one that asks.

    `last_used_at` is its last refresh, `network` where it began: an IPv4 /24 or IPv6 /48.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    current: bool
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    network: str | None


class JsonWebKeySet(BaseModel):
    """RFC 7517: the public keys that verify access tokens."""

    keys: list[dict[str, Any]]
