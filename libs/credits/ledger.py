"""The ledger's verbs, each one statement inside the caller's transaction.

The caller has set the tenant (`libs.db.transaction`); the database functions refuse other users'
rows by row security and hold every invariant: never negative, a hold ends once, append-only.
Amounts are milli-credits. `now` is the caller's clock; None means the database's.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.caps import SpendCapReached, passed_cap
from libs.credits.pricing import format_credits
from libs.kernel.problems import Problem

GrantKind = Literal["free", "plan", "trial", "top_up", "promotion", "admin"]
Ending = Literal["expired", "replaced", "refunded"]

OPEN = text("SELECT credits.open_account(:user, :now)")
GRANT = text("SELECT credits.grant_credits(:user, :id, :key, :kind, :amount, :expires_at, :now)")
END = text("SELECT credits.end_grant(:user, :key, :why, :now)")
TAKE_BACK = text("SELECT credits.take_back(:user, :key, :reversal, :amount, :now)")
EXPIRE = text("SELECT credits.expire_credits(:user, :now)")
HOLD = text("SELECT credits.hold_credits(:user, :hold, :amount, :model, :key, :expires_at, :now)")
SETTLE = text("SELECT credits.settle_hold(:user, :hold, :captured, :now)")
RELEASE_EXPIRED = text("SELECT credits.release_expired_holds(:user, :now)")
AVAILABLE = text(
    """
    SELECT coalesce(sum(remaining), 0) FROM credits.pockets
    WHERE user_id = :user
        AND (expires_at IS NULL OR expires_at > coalesce(CAST(:now AS timestamptz), now()))
    """
)


class InsufficientCredits(Problem):
    slug, status, title = "insufficient-credits", 402, "Your credits do not cover this"


def insufficient_credits(needed: int, available: int) -> InsufficientCredits:
    """The refusal that says what is needed and what is there."""
    return InsufficientCredits(
        f"{format_credits(needed)} credits are needed, {format_credits(available)} are left",
        needed_millicredits=needed,
        available_millicredits=available,
    )


class UnknownHold(Exception):
    """A hold is to be settled that was never made: a defect of the caller."""


async def open_account(
    session: AsyncSession, *, user_id: UUID, now: datetime | None = None
) -> bool:
    """Give a new user an account, from whose opening the free months count. False: it is there."""
    return bool(await session.scalar(OPEN, {"user": user_id, "now": now}))


async def grant_credits(
    session: AsyncSession,
    *,
    user_id: UUID,
    grant_id: UUID,
    key: str,
    kind: GrantKind,
    amount: int,
    expires_at: datetime | None,
    now: datetime | None = None,
) -> bool:
    """Add `amount` once for a business key. False if the key was granted before."""
    row = {"user": user_id, "id": grant_id, "key": key, "kind": kind, "amount": amount}
    outcome = await session.scalar(GRANT, {**row, "expires_at": expires_at, "now": now})
    return bool(outcome == "granted")


async def end_grant(
    session: AsyncSession, *, user_id: UUID, key: str, why: Ending, now: datetime | None = None
) -> int:
    """End the grant of a business key and answer what was taken back.

    What a hold has set aside stays with its job; the part that is released later is taken back
    then. 0 if the grant is unknown, empty, or ended before.
    """
    row = {"user": user_id, "key": key, "why": why, "now": now}
    return int(await session.scalar(END, row) or 0)


async def take_back(
    session: AsyncSession,
    *,
    user_id: UUID,
    key: str,
    reversal_id: UUID,
    amount: int,
    now: datetime | None = None,
) -> int:
    """Take back a part of a grant, at most what is unspent, once a `reversal_id`.

    What is held now is owed: its release takes it back. Answers what was taken now.
    """
    row = {"user": user_id, "key": key, "reversal": reversal_id, "amount": amount, "now": now}
    return int(await session.scalar(TAKE_BACK, row) or 0)


async def expire_credits(
    session: AsyncSession, *, user_id: UUID, now: datetime | None = None
) -> int:
    """End every grant of the user whose time has come, and answer what expired."""
    return int(await session.scalar(EXPIRE, {"user": user_id, "now": now}) or 0)


async def hold_credits(
    session: AsyncSession,
    *,
    user_id: UUID,
    hold_id: UUID,
    amount: int,
    model: str | None = None,
    key_id: UUID | None = None,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> None:
    """Set `amount` aside; a repeat with the same id does nothing.

    `model` and `key_id` (the API key) are what usage is told by. After `expires_at` the hold is
    released by itself. Raises InsufficientCredits (402) with what is needed and what is there, and
    SpendCapReached (402).
    """
    row = {"user": user_id, "hold": hold_id, "amount": amount, "model": model, "now": now}
    outcome = await session.scalar(HOLD, {**row, "key": key_id, "expires_at": expires_at})
    if outcome == "insufficient":
        raise insufficient_credits(amount, await available_credits(session, user_id, now=now))
    if outcome == "capped":
        raise SpendCapReached(await passed_cap(session, user_id, key_id, amount, now), amount)


async def settle_hold(
    session: AsyncSession,
    *,
    user_id: UUID,
    hold_id: UUID,
    captured: int,
    now: datetime | None = None,
) -> bool:
    """Capture `captured` of a hold and release the rest, once.

    False if the hold had ended before. Raises UnknownHold.
    """
    row = {"user": user_id, "hold": hold_id, "captured": captured, "now": now}
    outcome = await session.scalar(SETTLE, row)
    if outcome == "unknown":
        raise UnknownHold(str(hold_id))
    return bool(outcome == "settled")


async def release_expired_holds(
    session: AsyncSession, *, user_id: UUID, now: datetime | None = None
) -> int:
    """Release the user's holds that nobody settled in time, and answer how many."""
    return int(await session.scalar(RELEASE_EXPIRED, {"user": user_id, "now": now}) or 0)


async def available_credits(
    session: AsyncSession, user_id: UUID, *, now: datetime | None = None
) -> int:
    """What can be spent: neither spent, nor held, nor expired."""
    return int(await session.scalar(AVAILABLE, {"user": user_id, "now": now}) or 0)
