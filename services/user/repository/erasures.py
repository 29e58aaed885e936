"""Queries of erasures. Requesting runs as the user; the rest as the account worker's role."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.user.repository import staff

ADD = text(
    "INSERT INTO identity.erasures (id, user_id, requested_at, next_try_at)"
    " VALUES (:id, :user, :now, :begins_at)"
)
ANOTHER_ADMIN = text(
    """
    SELECT EXISTS (
        SELECT FROM identity.users WHERE role = 'admin' AND suspended_at IS NULL AND id <> :user
    )
    """
)
DROP_PENDING = text("SELECT identity.drop_pending_registrations()")
FORGET_LETTERS = text("SELECT identity.forget_letters()")
DELETE_USER = text("DELETE FROM identity.users WHERE id = :user")
CLAIM = text(
    """
    UPDATE identity.erasures SET attempts = attempts + 1, next_try_at = :free_again,
        state = CASE state WHEN 'requested' THEN 'erasing' ELSE state END
    WHERE id = (
        SELECT id FROM identity.erasures WHERE state <> 'finished' AND next_try_at <= :now
        ORDER BY next_try_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, user_id, requested_at, steps, attempts, failures
    """
)
# A step that was done stays done, whoever did it: only the newest claim decides what comes next.
DONE = text(
    """
    UPDATE identity.erasures SET steps = steps || CAST(:step AS jsonb), state = :state,
        failures = 0, error = NULL, waits_for = NULL, next_try_at = :next_try_at,
        finished_at = CASE :state WHEN 'finished' THEN CAST(:now AS timestamptz) END
    WHERE id = :id AND attempts = :attempts AND state <> 'finished'
    """
)
WAIT = text(
    """
    UPDATE identity.erasures SET failures = 0, error = NULL, waits_for = :waits_for,
        next_try_at = :next_try_at
    WHERE id = :id AND attempts = :attempts AND state <> 'finished'
    """
)
FAIL = text(
    """
    UPDATE identity.erasures SET failures = failures + 1, error = :error,
        next_try_at = :next_try_at
    WHERE id = :id AND attempts = :attempts AND state <> 'finished'
    """
)
MEASURE = text(
    """
    SELECT count(*) AS open, min(requested_at) AS oldest FROM identity.erasures
    WHERE state IN ('requested', 'erasing')
    """
)
FORGET = tuple(
    text(f"DELETE FROM {table} WHERE user_id = :user")
    for table in ("ops.api_keys", "ops.idempotency_keys")
)
LETTER = text("SELECT state FROM ops.emails WHERE user_id = :user AND key = :key")
FORGET_OTHER_LETTERS = text("DELETE FROM ops.emails WHERE user_id = :user AND key <> :key")


@dataclass(frozen=True)
class Claim:
    """An erasure that this process works on; `attempts` is the fencing number."""

    id: UUID
    user_id: UUID
    requested_at: datetime
    steps: dict[str, Any]
    attempts: int
    failures: int


async def add_erasure(
    session: AsyncSession, erasure_id: UUID, user_id: UUID, now: datetime, begins_at: datetime
) -> None:
    """Ask for the erasure of the tenant; it begins at `begins_at`."""
    values = {"id": erasure_id, "user": user_id, "now": now, "begins_at": begins_at}
    await session.execute(ADD, values)


async def has_another_admin(session: AsyncSession, user_id: UUID) -> bool:
    """Whether somebody else could administer the platform; the tenant is an administrator."""
    await staff.open_view(session)
    found = await session.scalar(ANOTHER_ADMIN, {"user": user_id})
    await staff.close_view(session)
    return bool(found)


async def forget_person(session: AsyncSession, user_id: UUID) -> None:
    """Delete the tenant's account with everything that hangs on it, and what was written to it."""
    await session.execute(DROP_PENDING)
    await session.execute(FORGET_LETTERS)
    await session.execute(DELETE_USER, {"user": user_id})


async def claim_due(session: AsyncSession, now: datetime, lease: timedelta) -> Claim | None:
    """The erasure that is due the longest and that nobody else works on."""
    row = (await session.execute(CLAIM, {"now": now, "free_again": now + lease})).one_or_none()
    return None if row is None else Claim(**row._mapping)


async def finish_step(
    session: AsyncSession, claim: Claim, step: str, *, state: str, now: datetime, due: datetime
) -> None:
    """A step is done; the next is due then."""
    done = {"step": json.dumps({step: now.isoformat()}), "state": state}
    key = {"id": claim.id, "attempts": claim.attempts}
    await session.execute(DONE, {**key, **done, "now": now, "next_try_at": due})


async def wait(session: AsyncSession, claim: Claim, waits_for: str, due: datetime) -> None:
    """Something has to end before the step can be done."""
    key = {"id": claim.id, "attempts": claim.attempts}
    await session.execute(WAIT, {**key, "waits_for": waits_for, "next_try_at": due})


async def fail(session: AsyncSession, claim: Claim, error: str, due: datetime) -> None:
    """The step failed; it is tried again then."""
    key = {"id": claim.id, "attempts": claim.attempts}
    await session.execute(FAIL, {**key, "error": error, "next_try_at": due})


async def measure(session: AsyncSession) -> tuple[int, datetime | None]:
    """How many erasures have something left to erase, and when the oldest was asked for."""
    row = (await session.execute(MEASURE)).one()
    return row.open, row.oldest


async def forget_account(session: AsyncSession, user_id: UUID, letter: str) -> None:
    """Delete the tenant's API keys, stored answers, and letters but one."""
    for statement in FORGET:
        await session.execute(statement, {"user": user_id})
    await session.execute(FORGET_OTHER_LETTERS, {"user": user_id, "key": letter})


async def letter_state(session: AsyncSession, user_id: UUID, key: str) -> str | None:
    """Whether a letter is still to be sent; None: it is gone."""
    state: str | None = await session.scalar(LETTER, {"user": user_id, "key": key})
    return state
