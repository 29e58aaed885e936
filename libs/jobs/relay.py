"""The relay: carries committed outbox rows to Celery and to the event streams, in order.

Claim (one short transaction), publish (no transaction open), delete. A relay that dies in between
leaves claimed rows that become free after `CLAIM_SECONDS`: messages go out at least once.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
from celery import Celery
from prometheus_client import Counter, Histogram
from pydantic import ValidationError
from redis.asyncio import Redis
from sqlalchemy import Row, text

from libs.db.engine import Sessions
from libs.events.streams import publish_event
from libs.events.topics import Event
from libs.telemetry.logs import get_logger

log = get_logger(__name__)
BATCH = 200
CLAIM_SECONDS = 30
UNREADABLE = (ValidationError, KeyError)
POLL_SECONDS = 1.0  # what a lost notification costs at most
relayed = Counter("easel_outbox_relayed_total", "Messages sent from the outbox", ("kind",))
relay_delay = Histogram("easel_outbox_delay_seconds", "From commit to being sent")

CLAIM = text(
    f"""
    UPDATE ops.outbox SET claimed_until = now() + interval '{CLAIM_SECONDS} seconds'
    WHERE id IN (
        SELECT id FROM ops.outbox WHERE claimed_until IS NULL OR claimed_until < now()
        ORDER BY id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
    )
    RETURNING id, kind, name, payload, traceparent,
        extract(epoch FROM clock_timestamp() - created_at)::float8 AS age_seconds
    """
)
FORGET = text("DELETE FROM ops.outbox WHERE id = ANY(:ids)")
FREE = text("UPDATE ops.outbox SET claimed_until = NULL WHERE id = ANY(:ids)")


@dataclass(frozen=True)
class Relay:
    """Where messages come from and go to."""

    sessions: Sessions
    redis: Redis
    celery: Celery


async def send(relay: Relay, message: Row[tuple[object, ...]]) -> None:
    """Publish one message; raises when the broker is away."""
    if message.kind == "event":
        await publish_event(relay.redis, Event.model_validate(message.payload))
    else:
        await asyncio.to_thread(
            relay.celery.send_task,
            message.name,
            kwargs=message.payload["arguments"],
            queue=message.payload["queue"],
            headers={"traceparent": message.traceparent},
            retry=False,
        )
    relayed.labels(message.kind).inc()
    relay_delay.observe(message.age_seconds)


async def send_in_order(relay: Relay, messages: Sequence[Row[tuple[object, ...]]]) -> list[int]:
    """Publish until the broker fails; answers the ids that are done with.

    A message that no code can read is dropped: nothing behind it would ever be sent.
    """
    done: list[int] = []
    for message in messages:
        try:
            await send(relay, message)
        except UNREADABLE as error:
            log.error("relay_dropped", message_id=message.id, name=message.name, error=repr(error))
        except Exception as error:  # noqa: BLE001 - the broker's client raises many kinds
            log.warning("relay_failed", message_id=message.id, error=repr(error))
            break
        done.append(message.id)
    return done


async def relay_batch(relay: Relay) -> bool:
    """Send what is waiting. True if all of it went out and more may wait."""
    async with relay.sessions.begin() as session:
        messages = sorted((await session.execute(CLAIM)).all(), key=lambda row: row.id)
    if not messages:
        return False
    done = await send_in_order(relay, messages)
    unsent = [message.id for message in messages if message.id not in set(done)]
    async with relay.sessions.begin() as session:
        await session.execute(FORGET, {"ids": done})
        await session.execute(FREE, {"ids": unsent})
    return not unsent


async def relay_forever(relay: Relay, wake: asyncio.Event) -> None:
    """Send whenever `wake` is set, and at least once a second; survives every outage."""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), POLL_SECONDS)
        wake.clear()
        try:
            while await relay_batch(relay):
                pass
        except Exception as error:  # noqa: BLE001 - the database is away; try again
            log.warning("relay_waits", error=repr(error))
            await asyncio.sleep(POLL_SECONDS)


async def listen_forever(
    dsn: str,
    wake: asyncio.Event,
    connect: Callable[[str], Awaitable[asyncpg.Connection]],
    channel: str = "outbox",
) -> None:
    """Set `wake` at every NOTIFY on a channel; reconnects for ever."""
    while True:
        try:
            connection = await connect(dsn)
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _connection, done=closed: done.set())
            await connection.add_listener(channel, lambda *_: wake.set())
            wake.set()
            await closed.wait()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("listen_waits", error=repr(error))
        await asyncio.sleep(POLL_SECONDS)
