"""The ledger's verbs, each one statement inside the caller's transaction.

The caller has set the tenant (`libs.db.transaction`); the database functions refuse other users'
rows by row security and hold every invariant: never negative, a hold ends once, append-only.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.pricing import format_credits
from libs.kernel.problems import Problem

GrantKind = Literal["plan", "trial", "top_up", "promotion", "admin"]
GRANT = text("SELECT credits.grant_credits(:user, :id, :key, :kind, :amount, :expires_at)")
HOLD = text("SELECT credits.hold_credits(:user, :hold, :amount)")
SETTLE = text("SELECT credits.settle_hold(:user, :hold, :captured)")
AVAILABLE = text("SELECT available FROM credits.accounts WHERE user_id = :user")


class InsufficientCredits(Problem):
    slug, status, title = "insufficient-credits", 402, "Your credits do not cover this"


class UnknownHold(Exception):
    """A hold is to be settled that was never made: a defect of the caller."""


async def grant_credits(
    session: AsyncSession,
    *,
    user_id: UUID,
    grant_id: UUID,
    key: str,
    kind: GrantKind,
    amount: int,
    expires_at: datetime | None,
) -> bool:
    """Add `amount` milli-credits once for a business key. False if the key was granted before."""
    row = {"user": user_id, "id": grant_id, "key": key, "kind": kind, "amount": amount}
    outcome = await session.scalar(GRANT, {**row, "expires_at": expires_at})
    return bool(outcome == "granted")


async def hold_credits(session: AsyncSession, *, user_id: UUID, hold_id: UUID, amount: int) -> None:
    """Set `amount` milli-credits aside; a repeat with the same id does nothing.

    Raises InsufficientCredits (402) with what is needed and what is there.
    """
    row = {"user": user_id, "hold": hold_id, "amount": amount}
    if await session.scalar(HOLD, row) == "insufficient":
        available = await available_credits(session, user_id)
        raise InsufficientCredits(
            f"{format_credits(amount)} credits are needed, {format_credits(available)} are left",
            needed_millicredits=amount,
            available_millicredits=available,
        )


async def settle_hold(
    session: AsyncSession, *, user_id: UUID, hold_id: UUID, captured: int
) -> bool:
    """Capture `captured` milli-credits of a hold and release the rest, once.

    False if the hold had ended before. Raises UnknownHold.
    """
    row = {"user": user_id, "hold": hold_id, "captured": captured}
    outcome = await session.scalar(SETTLE, row)
    if outcome == "unknown":
        raise UnknownHold(str(hold_id))
    return bool(outcome == "settled")


async def available_credits(session: AsyncSession, user_id: UUID) -> int:
    """Milli-credits that are neither spent nor held."""
    return int(await session.scalar(AVAILABLE, {"user": user_id}) or 0)
