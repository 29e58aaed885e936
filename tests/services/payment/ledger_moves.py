"""Movements of the ledger as the other parts make them, at a time of one's choice."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID, uuid4

from libs.credits.ledger import GrantKind, grant_credits, hold_credits, settle_hold
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id
from tests.services.callers import Caller

SessionsOf = Callable[[str], Sessions]


async def give(
    sessions: SessionsOf,
    caller: Caller,
    amount: int,
    expires_at: datetime | None,
    kind: GrantKind = "plan",
    now: datetime | None = None,
) -> UUID:
    """Grant as billing does; the grant's id."""
    grant_id = new_id()
    async with transaction(sessions("billing"), caller.id) as session:
        await grant_credits(
            session,
            user_id=caller.id,
            grant_id=grant_id,
            key=uuid4().hex,
            kind=kind,
            amount=amount,
            expires_at=expires_at,
            now=now,
        )
    return grant_id


async def hold(
    sessions: SessionsOf,
    caller: Caller,
    amount: int,
    *,
    model: str | None = None,
    key_id: UUID | None = None,
    now: datetime | None = None,
) -> UUID:
    """Hold as admission does; the job's id."""
    job_id = new_id()
    async with transaction(sessions("generation"), caller.id) as session:
        await hold_credits(
            session,
            user_id=caller.id,
            hold_id=job_id,
            amount=amount,
            model=model,
            key_id=key_id,
            now=now,
        )
    return job_id


async def settle(
    sessions: SessionsOf,
    caller: Caller,
    job_id: UUID,
    captured: int,
    *,
    now: datetime | None = None,
) -> None:
    """Settle as a worker does."""
    async with transaction(sessions("worker"), caller.id) as session:
        await settle_hold(session, user_id=caller.id, hold_id=job_id, captured=captured, now=now)
