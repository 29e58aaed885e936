"""The erasure of an account, step by step: each is asked for again and again until it is done.

A step runs with no transaction open and can be repeated; that it is done is written in a short one.
A process that dies leaves the claimed step, which is due again after a lease. A day later all steps
run a second time, for what was still under way at the first: a checkout page that somebody had open
lives that long, an upload or an engine that nobody could reach less.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.db.transaction import transaction
from libs.telemetry.logs import get_logger
from services.user.account_desk import AccountDesk
from services.user.exporting import delete_archive
from services.user.parting import goodbye_key
from services.user.repository import erasures, exports
from services.user.repository.erasures import Claim
from services.user.repository.exports import archive_prefix

log = get_logger(__name__)
LEASE = timedelta(minutes=2)  # longer than a step may take
SECOND_LOOK_AFTER = timedelta(hours=25)
LETTER_BOUND = timedelta(hours=24)
FIRST_DELAY = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=1)
LONGEST_DELAY = timedelta(minutes=10)
ARCHIVE_PAGES = 10

failed = Counter("easel_erasure_failures_total", "Steps of erasures that failed", ("step",))
unfinished = Gauge("easel_erasures_unfinished", "Erasures with something left to erase")
oldest = Gauge("easel_erasures_oldest_seconds", "Age of the oldest erasure that is not done")

Step = Callable[[AccountDesk, Claim], Awaitable[str | None]]


async def erase_jobs(desk: AccountDesk, claim: Claim) -> str | None:
    """First of all: nothing new is drawn, and what was held is settled."""
    return await desk.generation.erase(claim.user_id)


async def erase_pictures(desk: AccountDesk, claim: Claim) -> str | None:
    """The gallery, with its objects."""
    return await desk.gallery.erase(claim.user_id)


async def erase_models(desk: AccountDesk, claim: Claim) -> str | None:
    """Models of the user's own."""
    return await desk.models.erase(claim.user_id)


async def erase_billing(desk: AccountDesk, claim: Claim) -> str | None:
    """The plan ends, the books forget the person."""
    return await desk.payment.erase(claim.user_id)


async def erase_archives(desk: AccountDesk, claim: Claim) -> str | None:
    """Exports, those that are being made too."""
    async with desk.sessions.begin() as session:
        found = await exports.exports_of(session, claim.user_id)
    for export in found:
        await delete_archive(desk, export)
    prefix = archive_prefix(claim.user_id)
    return None if await desk.store.delete_below(prefix, pages=ARCHIVE_PAGES) else "archives"


async def erase_account(desk: AccountDesk, claim: Claim) -> str | None:
    """API keys, stored answers, and letters but the last."""
    async with transaction(desk.sessions, claim.user_id) as session:
        await erasures.forget_account(session, claim.user_id, goodbye_key(claim.id))
    return None


async def erase_letters(desk: AccountDesk, claim: Claim) -> str | None:
    """The last letter, once it was sent, or could not be for a day."""
    key, bound = goodbye_key(claim.id), claim.requested_at + LETTER_BOUND
    async with transaction(desk.sessions, claim.user_id) as session:
        state = await erasures.letter_state(session, claim.user_id, key)
        if state == "pending" and desk.clock() < bound:
            return "the last letter"
        await erasures.forget_account(session, claim.user_id, "")
    return None


STEPS: dict[str, Step] = {
    "jobs": erase_jobs,
    "pictures": erase_pictures,
    "models": erase_models,
    "billing": erase_billing,
    "archives": erase_archives,
    "account": erase_account,
    "letters": erase_letters,
}
AGAIN = " again"
PLAN = (*STEPS, *(name + AGAIN for name in STEPS))


async def erase_due(desk: AccountDesk) -> bool:
    """Do the next step of the erasure that is due the longest. False: none is due."""
    async with desk.sessions.begin() as session:
        claim = await erasures.claim_due(session, desk.clock(), LEASE)
    if claim is None:
        return False
    step = next(name for name in PLAN if name not in claim.steps)
    try:
        waits_for = await STEPS[step.removesuffix(AGAIN)](desk, claim)
    except Exception as error:  # noqa: BLE001 - whatever is away, try again
        await try_later(desk, claim, step, error)
    else:
        await write_down(desk, claim, step, waits_for)
    return True


async def write_down(desk: AccountDesk, claim: Claim, step: str, waits_for: str | None) -> None:
    """What came of a step: it is done, or waits for something."""
    now = desk.clock()
    async with transaction(desk.sessions, claim.user_id) as session:
        if waits_for is not None:
            await erasures.wait(session, claim, waits_for, now + delay_of_wait(claim, now))
            return
        left = [name for name in PLAN if name not in {*claim.steps, step}]
        state, due = state_after(claim, left, now)
        await erasures.finish_step(session, claim, step, state=state, now=now, due=due)
        if step in ("letters", "letters" + AGAIN):
            await note_end(session, claim, state, now)
    log.info("erasure_step_done", erasure_id=str(claim.id), step=step)


def state_after(claim: Claim, left: list[str], now: datetime) -> tuple[str, datetime]:
    """The state with these steps left, and when the next is due."""
    if not left:
        return "finished", now
    if not left[0].endswith(AGAIN):
        return "erasing", now
    return "erased", max(now, claim.requested_at + SECOND_LOOK_AFTER)


async def note_end(session: AsyncSession, claim: Claim, state: str, now: datetime) -> None:
    """A line in the audit log, which names nobody."""
    await record(
        session,
        actor="account",
        action=f"account.{state}",
        subject=f"user:{claim.user_id}",
        user_id=claim.user_id,
        details={"erasure": str(claim.id)},
        now=now,
    )


def delay_of_wait(claim: Claim, now: datetime) -> timedelta:
    """A tenth of the time that was waited, from a second to a minute."""
    return min(LONGEST_WAIT, max(FIRST_DELAY, (now - claim.requested_at) / 10))


def delay_of_failure(failures: int) -> timedelta:
    """After so many failures before this one: 1, 2, 4, ... seconds, at most ten minutes."""
    return min(LONGEST_DELAY, FIRST_DELAY * int(2 ** min(failures, 20)))


async def try_later(desk: AccountDesk, claim: Claim, step: str, error: Exception) -> None:
    """Keep the reason, and do the step again after a delay that grows."""
    log.error("erasure_step_failed", erasure_id=str(claim.id), step=step, exc_info=error)
    failed.labels(step.removesuffix(AGAIN)).inc()
    due = desk.clock() + delay_of_failure(claim.failures)
    async with desk.sessions.begin() as session:
        await erasures.fail(session, claim, f"{step}: {type(error).__name__}: {error}", due)


async def measure_erasures(desk: AccountDesk) -> None:
    """Set the gauges of what is not done."""
    async with desk.sessions.begin() as session:
        count, since = await erasures.measure(session)
    unfinished.set(count)
    oldest.set((desk.clock() - since).total_seconds() if since else 0)
