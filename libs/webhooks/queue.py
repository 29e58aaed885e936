"""Queueing messages: deliveries commit with the work that they tell of, and are sent after it."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.kernel.ids import new_id
from libs.webhooks.messages import Message

CHANNEL = "webhooks"  # PostgreSQL notifies it when deliveries were queued
LISTENERS = text(
    """
    SELECT id, events FROM webhooks.endpoints
    WHERE user_id = :user_id AND disabled_at IS NULL AND (all_jobs OR id = :named)
    ORDER BY id FOR KEY SHARE
    """
)
ADD = text(
    """
    INSERT INTO webhooks.deliveries
        (id, user_id, endpoint_id, message_id, type, body, next_try_at, created_at)
    VALUES (:id, :user_id, :endpoint_id, :message_id, :type, :body, :at, :at)
    """
)


async def queue_messages(
    session: AsyncSession,
    user_id: UUID,
    make_messages: Callable[[], Sequence[Message]],
    *,
    named: UUID | None = None,
) -> int:
    """Send messages after commit to the user's endpoints that listen; how many deliveries that are.

    `named` is the endpoint that the job names. Nothing is made where nobody listens: one statement.
    The session's tenant is the user.
    """
    found = await session.execute(LISTENERS, {"user_id": user_id, "named": named})
    listeners = found.all()
    if not listeners:
        return 0
    rows = [
        delivery_of(message, user_id, listener.id)
        for message in make_messages()
        for listener in listeners
        if hears(listener, message)
    ]
    if rows:
        await session.execute(ADD, rows)
    return len(rows)


def hears(listener: Row[Any], message: Message) -> bool:
    """Whether an endpoint listens to messages of this type."""
    return message.type in listener.events


def delivery_of(message: Message, user_id: UUID, endpoint_id: UUID) -> dict[str, Any]:
    """The row of a message to an endpoint; it is due from the moment that it tells of."""
    return {
        "id": new_id(),
        "user_id": user_id,
        "endpoint_id": endpoint_id,
        "message_id": message.id,
        "type": message.type,
        "body": message.body(),
        "at": message.at,
    }
