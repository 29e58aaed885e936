"""Answers about credits. Amounts are milli-credits, with a readable text beside them."""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from libs.credits.amounts import MAX_MILLICREDITS
from libs.credits.caps import ACCOUNT, Period

GroupBy = Literal["day", "model", "key"]
EARLIEST, LATEST = date(2020, 1, 1), date(2100, 1, 1)


def require_our_time(day: date) -> date:
    """Raises ValueError for a day with which nobody can reckon."""
    if not EARLIEST <= day <= LATEST:
        raise ValueError(f"must be between {EARLIEST} and {LATEST}")
    return day


def require_real_key(key_id: UUID) -> UUID:
    """Raises ValueError for the id under which the account's own caps are kept."""
    if key_id == ACCOUNT:
        raise ValueError("is no key; leave it out for a cap of the account")
    return key_id


Day = Annotated[date, AfterValidator(require_our_time)]


class GrantAnswer(BaseModel):
    """Credits that were given at once; they are spent in the order shown.

    `remaining` can be spent: what jobs hold is not in it.
    """

    id: UUID
    kind: str
    amount_millicredits: int
    remaining_millicredits: int
    remaining_credits: str
    expires_at: datetime | None
    created_at: datetime


class BalanceAnswer(BaseModel):
    """`total` is `available` and `held` together; `held` belongs to jobs that have not ended."""

    total_millicredits: int
    total_credits: str
    held_millicredits: int
    held_credits: str
    available_millicredits: int
    available_credits: str
    grants: list[GrantAnswer]


class TransactionAnswer(BaseModel):
    """One movement. `amount` is what it changed in the available credits; captures change none.

    `reference` is the generation of a hold, capture or release, and else the grant or the refund;
    `grant_id` is the grant whose credits moved: a charge that takes from two has two movements.
    """

    id: int
    kind: str
    amount_millicredits: int
    amount_credits: str
    captured_millicredits: int
    reference: UUID
    grant_id: UUID
    model: str | None
    key_id: UUID | None
    created_at: datetime


class UsageItem(BaseModel):
    """What was spent in a day, with a model, or with an API key (null: without one)."""

    group: str | None
    generations: int
    captured_millicredits: int
    captured_credits: str


class UsageAnswer(BaseModel):
    """What was spent from `first_day` to `last_day`, both included, days beginning at 00:00 UTC."""

    group_by: GroupBy
    first_day: date
    last_day: date
    captured_millicredits: int
    captured_credits: str
    items: list[UsageItem]


class SpendCapAnswer(BaseModel):
    """At most so much in a period; `key_id` null is everything that the account spends."""

    key_id: UUID | None
    period: Period
    limit_millicredits: int
    limit_credits: str


class SpendCapsAnswer(BaseModel):
    """All caps; those of the account come first."""

    items: list[SpendCapAnswer]


class SpendCapChange(BaseModel):
    """One cap to set; a null limit lifts it.

    The account (`key_id` null) has caps by day and month, an API key in total, too. Days and months
    begin at 00:00 UTC. Spent is what was captured in the period and all that is held now.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"key_id": None, "period": "day", "limit_millicredits": 50_000}]
        },
    )

    key_id: Annotated[UUID, AfterValidator(require_real_key)] | None = None
    period: Period
    limit_millicredits: int | None = Field(ge=0, le=MAX_MILLICREDITS)

    @model_validator(mode="after")
    def require_a_key_for_a_total(self) -> Self:
        """Raises ValueError for a cap on all that an account will ever spend."""
        if self.period == "total" and self.key_id is None:
            raise ValueError("a total cap needs a key_id")
        return self
