"""Applies what the inbox keeps: each entry with all that follows from it in one transaction.

A process that dies in between leaves the entry as it was; applying is a function of what is known,
so doing it again changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from libs.telemetry.logs import get_logger
from services.payment.desk import Desk
from services.payment.lemon_squeezy.resources import WebhookEvent
from services.payment.models import InboxEntry
from services.payment.offers import Shelf
from services.payment.repository import inbox
from services.payment.service.events import apply_event
from services.payment.stuck import Stuck

log = get_logger(__name__)
# 1, 4, 16, 64, 256, 1024 seconds: after 23 minutes it is stuck
MAX_ATTEMPTS = 7
FIRST_DELAY = timedelta(seconds=1)
DELAY_FACTOR = 4

Outcome = Literal["applied", "ignored", "retried", "stuck"]
applied = Counter("easel_webhooks_applied_total", "Tries to apply a webhook", ("outcome",))
for name in get_args(Outcome):
    applied.labels(name)  # a series that begins at 0 shows its first increase
stuck_entries = Gauge("easel_webhooks_stuck", "Webhooks that wait until somebody mends something")
oldest_pending = Gauge(
    "easel_webhooks_oldest_pending_seconds", "Age of the oldest webhook that is not applied"
)


@dataclass(frozen=True)
class Claim:
    """An entry that this process applies; `attempts` counts this try."""

    entry_id: UUID
    attempts: int


async def apply_pending(desk: Desk, limit: int = 100) -> bool:
    """Apply up to `limit` entries that are due. True if more may wait."""
    for _ in range(limit):
        if not await apply_next(desk):
            return False
    return True


async def apply_next(desk: Desk) -> bool:
    """Apply the entry that is due the longest. False if none is. Raises while a part is away."""
    claim: Claim | None = None
    try:
        async with desk.sessions.begin() as session:
            now = desk.clock()
            entry = await inbox.claim_pending(session, now)
            if entry is None:
                return False
            claim = Claim(entry.id, entry.attempts + 1)
            outcome = await apply_entry(session, entry, desk.shelf, now)
    except Stuck as problem:
        assert claim is not None
        await give_up(desk, claim, f"{problem.kind}: {problem}")
    except Exception as error:
        if claim is None:
            raise
        await try_later(desk, claim, error)
    else:
        applied.labels(outcome).inc()
    return True


async def apply_entry(
    session: AsyncSession, entry: InboxEntry, shelf: Shelf, now: datetime
) -> Outcome:
    """Apply a locked entry, and what was stuck for want of what it told is due again."""
    event = WebhookEvent.model_validate_json(entry.body or b"")
    effect = await apply_event(session, event, now, shelf=shelf, assigned_to=entry.user_id)
    outcome: Outcome = "ignored" if effect is None else "applied"
    await inbox.finish_entry(session, entry.id, state=outcome, applied_at=now)
    if effect is not None and effect.of_closed_account:
        await inbox.forget_person(session, [entry.id])
    if effect is not None:
        await inbox.release_subject(session, entry.subject, now)
    return outcome


async def try_later(desk: Desk, claim: Claim, error: Exception) -> None:
    """Something unexpected: again after a delay that grows, until it is given up.

    While the database is away this raises too: an outage costs no try.
    """
    log.error(
        "webhook_failed", inbox_id=str(claim.entry_id), attempts=claim.attempts, exc_info=error
    )
    if claim.attempts >= MAX_ATTEMPTS:
        await give_up(desk, claim, f"failed: {type(error).__name__}")
        return
    next_try_at = desk.clock() + FIRST_DELAY * DELAY_FACTOR ** (claim.attempts - 1)
    async with desk.sessions.begin() as session:
        values = {"attempts": claim.attempts, "next_try_at": next_try_at}
        await inbox.finish_entry(session, claim.entry_id, **values)
    applied.labels("retried").inc()


async def give_up(desk: Desk, claim: Claim, problem: str) -> None:
    """Keep the entry until an admin has mended what it needs."""
    log.error("webhook_stuck", inbox_id=str(claim.entry_id), problem=problem)
    async with desk.sessions.begin() as session:
        values = {"state": "stuck", "problem": problem, "attempts": claim.attempts}
        await inbox.finish_entry(session, claim.entry_id, **values)
    applied.labels("stuck").inc()


async def measure_inbox(desk: Desk) -> None:
    """Set the gauges of what is stuck and of what waits."""
    async with desk.sessions.begin() as session:
        stuck, age = await inbox.measure(session, desk.clock())
    stuck_entries.set(stuck)
    oldest_pending.set(age.total_seconds())
