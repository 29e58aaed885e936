"""The inbox of webhooks: what comes is kept at once and applied later, each content once.

Verbs of the route (`receive`) and of admins (`retry`, `assign_user`); sessions are of the billing
role. `services/payment/inbox_worker.py` applies.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.kernel.ids import new_id
from libs.kernel.problems import BadRequest
from services.payment.inbox_problems import (
    InboxEntryNotFound,
    InboxEntryNotStuck,
    InvalidSignature,
)
from services.payment.lemon_squeezy.resources import WebhookEvent
from services.payment.models import InboxEntry
from services.payment.problems import UserNotFound
from services.payment.repository import inbox, owners

Outcome = Literal["stored", "known"]


def verify_signature(secret: str, body: bytes, signature: str) -> None:
    """The header is the HMAC-SHA256 of the body in hex. Raises InvalidSignature."""
    expected = hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise InvalidSignature()


def read_event(body: bytes) -> WebhookEvent:
    """The event in a body. Raises BadRequest for what is none."""
    try:
        return WebhookEvent.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest("The body is no event of the payment provider") from error


async def receive(
    session: AsyncSession, event: WebhookEvent, body: bytes, now: datetime
) -> Outcome:
    """Keep an event, whose body is `body`, once a content."""
    values = {
        "id": new_id(),
        "event_name": event.meta.event_name,
        "subject": event.data.subject,
        "body": body,
        "body_sha256": hashlib.sha256(body).digest(),
        "received_at": now,
        "next_try_at": now,
        "named_user_id": event.meta.user_id,
    }
    return "stored" if await inbox.add_entry(session, values) else "known"


async def retry(session: AsyncSession, entry_id: UUID, now: datetime, *, actor: str) -> InboxEntry:
    """Apply a stuck entry again, soon. Raises InboxEntryNotFound, InboxEntryNotStuck."""
    entry = await require_stuck(session, entry_id)
    release(entry, now)
    await record(
        session, actor=actor, action="webhook.retried", subject=f"inbox:{entry_id}", now=now
    )
    return entry


async def assign_user(
    session: AsyncSession, entry_id: UUID, user_id: UUID, now: datetime, *, actor: str
) -> InboxEntry:
    """Say whose a stuck entry is, and apply it again, soon.

    Raises InboxEntryNotFound, InboxEntryNotStuck, UserNotFound.
    """
    entry = await require_stuck(session, entry_id)
    if not await owners.is_customer(session, user_id):
        raise UserNotFound()
    entry.user_id = user_id
    release(entry, now)
    await record(
        session,
        actor=actor,
        action="webhook.assigned",
        subject=f"inbox:{entry_id}",
        user_id=user_id,
        now=now,
    )
    return entry


async def require_stuck(session: AsyncSession, entry_id: UUID) -> InboxEntry:
    """The entry, locked. Raises InboxEntryNotFound, InboxEntryNotStuck."""
    entry = await inbox.lock_entry(session, entry_id)
    if entry is None:
        raise InboxEntryNotFound()
    if entry.state != "stuck":
        raise InboxEntryNotStuck(f"The event is {entry.state}")
    return entry


def release(entry: InboxEntry, now: datetime) -> None:
    """Make a stuck entry due, with all its tries."""
    entry.state, entry.problem = "pending", None
    entry.attempts, entry.next_try_at = 0, now
