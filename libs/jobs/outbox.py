"""The outbox: messages that commit with the work that causes them.

A `task` is a Celery wake-up (`name` is the queue-qualified task), an `event` goes to the streams of
`libs.events`. The relay (`libs.jobs.relay`) sends them after the commit, at least once.
"""

import json
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.events.topics import Event
from libs.telemetry.tracing import current_traceparent

ADD = text(
    "INSERT INTO ops.outbox (kind, name, payload, traceparent)"
    " VALUES (:kind, :name, CAST(:payload AS jsonb), :traceparent)"
)


async def add_task(session: AsyncSession, task: str, *, queue: str, **arguments: Any) -> None:
    """Send a Celery task to a queue after commit; `arguments` are its JSON keyword arguments."""
    payload = json.dumps({"queue": queue, "arguments": arguments})
    await _add(session, "task", task, payload)


async def add_event(session: AsyncSession, event: Event) -> None:
    """Publish an event to its job's stream after commit."""
    await _add(session, "event", event.topic, event.model_dump_json())


async def _add(session: AsyncSession, kind: str, name: str, payload: str) -> None:
    row = {"kind": kind, "name": name, "payload": payload, "traceparent": current_traceparent()}
    await session.execute(ADD, row)
