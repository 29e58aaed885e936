"""What administrators ask and see. Amounts are milli-credits, with a readable text beside them."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.config import JsonDict

from libs.credits.amounts import MAX_MILLICREDITS, CreditAmount, to_millicredits
from libs.web.moments import Moment
from libs.web.text_fields import refuse_control_characters
from services.payment.models import InboxState

GrantedKind = Literal["admin", "promotion"]
LATEST = datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC)
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=500),
    AfterValidator(refuse_control_characters),
]
EXAMPLE: JsonDict = {
    "user_id": "019a2b3c-4d5e-7f80-90a1-b2c3d4e5f607",
    "credits": "250",
    "kind": "promotion",
    "expires_at": "2030-01-01T00:00:00Z",
    "reason": "Thanks for the bug report",
}


def require_our_time(moment: datetime) -> datetime:
    """Raises ValueError for a moment after 2100: of the last ones no other zone can tell."""
    if moment > LATEST:
        raise ValueError(f"must not be after {LATEST:%Y-%m-%d}")
    return moment


class GrantRequest(BaseModel):
    """Credits for a user: `credits` or `amount_millicredits`.

    A promotion ends at `expires_at`; a grant of kind `admin` may last for ever (null).
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    user_id: UUID
    credits: CreditAmount | None = None
    amount_millicredits: int | None = Field(default=None, ge=1, le=MAX_MILLICREDITS)
    kind: GrantedKind
    expires_at: Annotated[Moment, AfterValidator(require_our_time)] | None = None
    reason: Reason

    @model_validator(mode="after")
    def require_one_amount_and_an_end(self) -> Self:
        """Raises ValueError for two amounts or none, and for a promotion without an end."""
        if (self.credits is None) == (self.amount_millicredits is None):
            raise ValueError("give credits or amount_millicredits")
        if self.kind == "promotion" and self.expires_at is None:
            raise ValueError("a promotion needs expires_at")
        return self

    @property
    def millicredits(self) -> int:
        """The amount."""
        if self.amount_millicredits is not None:
            return self.amount_millicredits
        assert self.credits is not None
        return to_millicredits(self.credits)


class GrantedAnswer(BaseModel):
    """What was given."""

    id: UUID
    user_id: UUID
    kind: GrantedKind
    amount_millicredits: int
    amount_credits: str
    expires_at: datetime | None
    created_at: datetime


class FindingAnswer(BaseModel):
    """A rule of the ledger that does not hold for a grant or a hold (`subject`)."""

    model_config = ConfigDict(from_attributes=True)

    rule: str
    user_id: UUID
    subject: UUID
    expected: int
    found: int | None


class LedgerCheckAnswer(BaseModel):
    """Everything in the ledger that does not add up: must be empty."""

    findings: list[FindingAnswer]


class WebhookEntryAnswer(BaseModel):
    """A webhook in the inbox. `problem` says why it is stuck; `user_id` is whose it was said to
    be; `next_try_at` counts while it is pending."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    event_name: str
    subject: str
    state: InboxState
    attempts: int
    problem: str | None
    user_id: UUID | None
    received_at: datetime
    next_try_at: datetime
    applied_at: datetime | None


class AssignRequest(BaseModel):
    """Whose a webhook is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"user_id": "019a2b3c-4d5e-7f80-90a1-b2c3d4e5f607"}]},
    )

    user_id: UUID


class ReconciliationAnswer(BaseModel):
    """How many subscriptions and payments of the provider were compared with ours, and repaired."""

    model_config = ConfigDict(from_attributes=True)

    compared: int
    repaired: int
