"""Letters: what people are told by e-mail, each text a pure function of one fact.

A letter's key names the fact, so that it is sent once, however often the fact is told.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.mail.queue import queue_email

GREETING = "Hello,\n\n"
CLOSING = "\n\nYour Easel\n"


@dataclass(frozen=True)
class Letter:
    """One e-mail; `holds_secret` if its text opens something."""

    key: str
    subject: str
    text: str
    holds_secret: bool = False


def letter(key: str, subject: str, *paragraphs: str | None, holds_secret: bool = False) -> Letter:
    """A letter of these paragraphs; None is left out."""
    body = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
    return Letter(key, subject, GREETING + body + CLOSING, holds_secret)


async def queue_letter(
    session: AsyncSession, user_id: UUID, address: str, told: Letter, now: datetime
) -> None:
    """Queue a letter to a user, once for ever, in the user's own transaction."""
    await queue_email(
        session,
        key=told.key,
        user_id=user_id,
        to=address,
        subject=told.subject,
        text=told.text,
        holds_secret=told.holds_secret,
        now=now,
    )
