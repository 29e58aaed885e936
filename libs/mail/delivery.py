"""Send what is due: claim (one short transaction), send (none open), mark.

A process that dies while it sends leaves a claimed e-mail, which is due again after the lease: an
e-mail goes out at least once, every time under the same Message-ID.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from prometheus_client import Counter, Gauge
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.kernel.clock import Clock
from libs.mail.failures import MailUnavailable, Undeliverable
from libs.mail.message import Email, build_message
from libs.mail.sender import Sender
from libs.telemetry.logs import get_logger

log = get_logger(__name__)
Outcome = Literal["sent", "retried", "failed"]
LEASE = timedelta(minutes=5)  # longer than any transport waits
# 1, 4, 16, 64, 256 minutes, then every 6 hours: given up after about 30 hours.
MAX_ATTEMPTS = 10
FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(hours=6)
emails = Counter("easel_emails_total", "Tries to send an e-mail", ("outcome",))
for name in get_args(Outcome):
    emails.labels(name)  # a series that begins at 0 shows its first increase
oldest_pending = Gauge("easel_emails_oldest_pending_seconds", "Age of the oldest unsent e-mail")

CLAIM = text(
    """
    UPDATE ops.emails SET attempts = attempts + 1, next_try_at = :free_again
    WHERE id = (
        SELECT id FROM ops.emails WHERE state = 'pending' AND next_try_at <= :now
        ORDER BY next_try_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, attempts, key, recipient, subject, text, html
    """
)
WAITING = text(
    """
    SELECT extract(epoch FROM :now - min(created_at))::float8 FROM ops.emails
    WHERE state = 'pending'
    """
)
# Sent is sent, even if the lease had run out. Failures count for the newest try alone.
MARK_SENT = text(
    "UPDATE ops.emails SET state = 'sent', sent_at = :now, error = NULL,"
    " text = CASE WHEN holds_secret THEN '' ELSE text END,"
    " html = CASE WHEN NOT holds_secret THEN html END"
    " WHERE id = :id AND state <> 'sent'"
)
MARK_FAILED = text(
    "UPDATE ops.emails SET state = :state, error = :error, next_try_at = :next_try_at"
    " WHERE id = :id AND attempts = :attempts AND state = 'pending'"
)


@dataclass(frozen=True)
class Claim:
    """An e-mail that this process may send; `attempts` counts this try."""

    id: int
    attempts: int
    email: Email


async def send_due_emails(sessions: Sessions, sender: Sender, clock: Clock, limit: int) -> int:
    """Send up to `limit` e-mails that are due, oldest first; how many went out.

    Ends early when the transport is away: what is behind keeps its tries. Several processes may
    send at once. `sessions` log in as easel_billing.
    """
    sent = 0
    for _ in range(limit):
        claim = await claim_email(sessions, clock())
        if claim is None:
            break
        outcome, error = await try_to_send(claim, sender, clock())
        await mark(sessions, claim, outcome, error, clock())
        if outcome == "retried":
            break
        sent += outcome == "sent"
    await measure_waiting(sessions, clock())
    return sent


async def claim_email(sessions: Sessions, now: datetime) -> Claim | None:
    """The e-mail that is due the longest and that nobody else sends."""
    async with sessions.begin() as session:
        row = (await session.execute(CLAIM, {"now": now, "free_again": now + LEASE})).one_or_none()
    if row is None:
        return None
    email = Email(row.key, row.recipient, row.subject, row.text, row.html)
    return Claim(row.id, row.attempts, email)


async def try_to_send(claim: Claim, sender: Sender, now: datetime) -> tuple[Outcome, str]:
    """What became of one try, and the reason if it failed."""
    if claim.attempts > MAX_ATTEMPTS:
        return "failed", f"{MAX_ATTEMPTS} processes ended while they sent it"
    try:
        await sender.transport(build_message(claim.email, sender=sender.mail_from, date=now))
    except Undeliverable as error:
        return "failed", str(error)
    except MailUnavailable as error:
        return ("failed" if claim.attempts == MAX_ATTEMPTS else "retried"), str(error)
    return "sent", ""


async def mark(
    sessions: Sessions, claim: Claim, outcome: Outcome, error: str, now: datetime
) -> None:
    """Write down what became of a try."""
    row = {"id": claim.id, "attempts": claim.attempts, "error": error}
    async with sessions.begin() as session:
        if outcome == "sent":
            await session.execute(MARK_SENT, {"id": claim.id, "now": now})
        else:
            state = "failed" if outcome == "failed" else "pending"
            next_try_at = now + delay_after(claim.attempts)
            await session.execute(MARK_FAILED, {**row, "state": state, "next_try_at": next_try_at})
    emails.labels(outcome).inc()
    if error:  # the reason, which may name people, stays in the row
        log.warning(f"email_{outcome}", email_id=claim.id, attempts=claim.attempts)


def delay_after(attempts: int) -> timedelta:
    """How long to wait after the `attempts`-th try has failed."""
    return min(FIRST_DELAY * int(4 ** (attempts - 1)), LONGEST_DELAY)


async def measure_waiting(sessions: Sessions, now: datetime) -> None:
    """Tell the metric how old the oldest e-mail is that was not sent yet; 0 if all were."""
    async with sessions.begin() as session:
        oldest_pending.set(await session.scalar(WAITING, {"now": now}) or 0)
