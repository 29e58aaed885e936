"""Spend caps: how much a user, or one API key, may spend in a day, a month, or ever.

Spent is what was captured in the period and what is held now. Days and months are UTC. Holds are
refused under the same lock that makes them, so that parallel requests cannot pass a cap together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.pricing import format_credits
from libs.kernel.problems import Problem

Period = Literal["day", "month", "total"]
ACCOUNT = UUID(int=0)  # stands for "whatever the key": the user's whole account

PASSED = text(
    "SELECT credits.passed_cap(:user, :key, :amount, coalesce(CAST(:now AS timestamptz), now()))"
)
LIST = text(
    "SELECT key_id, period, millicredits FROM credits.spend_caps WHERE user_id = :user"
    " ORDER BY key_id, period"
)
SET = text("SELECT credits.set_spend_cap(:user, :key, :period, :millicredits)")


@dataclass(frozen=True)
class SpendCap:
    """At most `millicredits` in a period; `key_id` None is the whole account."""

    key_id: UUID | None
    period: Period
    millicredits: int


class SpendCapReached(Problem):
    """What is refused would pass a cap that the user has set."""

    slug, status, title = "spend-cap-reached", 402, "Your spend cap does not allow this"

    def __init__(self, cap: Mapping[str, Any] | None, amount: int) -> None:
        if cap is None:
            super().__init__("The cap was changed meanwhile: try again", needed_millicredits=amount)
            return
        whose = "this key's" if cap["of_key"] else "your"
        period = "" if cap["period"] == "total" else f" of this {cap['period']}"
        spent, limit = cap["spent_millicredits"], cap["cap_millicredits"]
        super().__init__(
            f"{format_credits(amount)} credits would pass {whose} cap of {format_credits(limit)}"
            f" credits; {format_credits(spent)}{period} are spent or held",
            needed_millicredits=amount,
            **cap,
        )


async def passed_cap(
    session: AsyncSession, user_id: UUID, key_id: UUID | None, amount: int, now: datetime | None
) -> dict[str, Any] | None:
    """The cap that one more hold of `amount` would pass: its period, value, what is spent."""
    row = {"user": user_id, "key": key_id, "amount": amount, "now": now}
    return cast("dict[str, Any] | None", await session.scalar(PASSED, row))


async def set_cap(
    session: AsyncSession,
    *,
    user_id: UUID,
    key_id: UUID | None,
    period: Period,
    millicredits: int | None,
) -> None:
    """Set or (None) lift the cap of an API key, or of the account (`key_id` None)."""
    row = {"user": user_id, "key": key_id or ACCOUNT, "period": period}
    await session.execute(SET, {**row, "millicredits": millicredits})


async def list_caps(session: AsyncSession, user_id: UUID) -> Sequence[SpendCap]:
    """The user's caps; the account's come first."""
    rows = (await session.execute(LIST, {"user": user_id})).all()
    return [
        SpendCap(None if row.key_id == ACCOUNT else row.key_id, row.period, row.millicredits)
        for row in rows
    ]
