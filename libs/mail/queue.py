"""The queue of e-mails: they commit with the work that causes them and are sent after it."""

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncSession

CHANNEL = "emails"  # PostgreSQL notifies it when e-mails were queued
ADD = sql(
    """
    INSERT INTO ops.emails
        (key, user_id, recipient, subject, text, html, holds_secret, created_at, next_try_at)
    SELECT :key, :user_id, :recipient, :subject, :text, :html, :holds_secret, at, at
    FROM (SELECT coalesce(CAST(:now AS timestamptz), now()) AS at) AS moment
    ON CONFLICT DO NOTHING
    """
)


async def queue_email(
    session: AsyncSession,
    *,
    key: str,
    user_id: UUID | None,
    to: str,
    subject: str,
    text: str,
    html: str | None = None,
    holds_secret: bool = False,
    now: datetime | None = None,
) -> bool:
    """Send an e-mail after commit, once a key; False if that key was queued before.

    `to` is one address. Whether it can be sent to is judged when it is sent: a bad address never
    undoes the work that the e-mail tells of. What holds a secret, as a link to log in, is forgotten
    once it is sent. Without `now` the database's clock counts. Service roles write to their own
    tenant alone (`libs.db.transaction`).
    """
    row = {"key": key, "user_id": user_id, "recipient": to, "now": now}
    content = {"subject": subject, "text": text, "html": html, "holds_secret": holds_secret}
    result = await session.execute(ADD, {**row, **content})
    return cast(CursorResult[Any], result).rowcount == 1
