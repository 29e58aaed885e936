"""The outbox and its relay on real PostgreSQL and Redis."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.events.connection import build_redis
from libs.events.streams import FIRST, job_stream, read_events
from libs.events.topics import Event
from libs.jobs.celery_app import build_celery
from libs.jobs.outbox import add_event, add_task
from libs.jobs.relay import Relay, listen_forever, relay_batch, relay_forever
from libs.testkit.postgres import Database

SessionsOf = Callable[[str], Sessions]


@pytest.fixture
def relay(sessions: SessionsOf, redis: Redis, redis_url: str) -> Relay:
    return Relay(sessions("relay"), redis, build_celery(redis_url))


def event(number: int) -> Event:
    return Event(topic="job.progressed", user_id=uuid4(), job_id=JOB, data={"number": number})


JOB = uuid4()


async def waiting(sessions: SessionsOf) -> int:
    async with sessions("admin")() as session:
        return int(await session.scalar(text("SELECT count(*) FROM ops.outbox")) or 0)


async def sent_numbers(redis: Redis) -> list[int]:
    entries = await read_events(redis, job_stream(JOB), FIRST, wait_seconds=0.01)
    return [sent.data["number"] for _, sent in entries]


async def test_what_commits_is_sent_in_order_and_what_rolls_back_is_not(
    sessions: SessionsOf, relay: Relay
) -> None:
    writers = sessions("generation")
    for number in range(3):
        async with writers.begin() as session:
            await add_event(session, event(number))
    async with writers() as session:
        await add_event(session, event(99))
        await session.rollback()
    assert await relay_batch(relay)
    assert await sent_numbers(relay.redis) == [0, 1, 2]
    assert await waiting(sessions) == 0
    assert not await relay_batch(relay)


async def test_a_task_reaches_its_queue(sessions: SessionsOf, relay: Relay) -> None:
    async with sessions("generation").begin() as session:
        await add_task(session, "some.task", queue="gpu-standard", size=3)
    await relay_batch(relay)
    assert await cast(Awaitable[int], relay.redis.llen("gpu-standard")) == 1


async def test_while_redis_is_away_nothing_is_lost(sessions: SessionsOf, relay: Relay) -> None:
    async with sessions("generation").begin() as session:
        await add_event(session, event(1))
        await add_task(session, "some.task", queue="gpu-standard")
    nowhere = "redis://127.0.0.1:9/0"
    cut_off = Relay(relay.sessions, build_redis(nowhere), build_celery(nowhere))
    assert not await relay_batch(cut_off)
    assert await waiting(sessions) == 2
    assert await relay_batch(relay)
    assert await sent_numbers(relay.redis) == [1]
    assert await waiting(sessions) == 0


async def test_a_message_that_no_code_reads_blocks_nothing_behind_it(
    sessions: SessionsOf, relay: Relay
) -> None:
    async with sessions("generation").begin() as session:
        await add_event(session, event(1).model_copy(update={"topic": "job.forgotten"}))
        await add_task(session, "some.task", queue="gpu-standard")
        await add_event(session, event(2))
    async with sessions("admin").begin() as session:
        await session.execute(text("UPDATE ops.outbox SET payload = '{}' WHERE kind = 'task'"))
    assert await relay_batch(relay)
    assert await sent_numbers(relay.redis) == [2]
    assert await waiting(sessions) == 0


async def test_listening_survives_a_connection_that_closed_too_early(
    sessions: SessionsOf, database: Database
) -> None:
    attempts: list[bool] = []

    async def connect(dsn: str) -> asyncpg.Connection:
        connection = await asyncpg.connect(dsn)
        if not attempts:
            await connection.close()  # what follows on it raises InterfaceError
        attempts.append(connection.is_closed())
        return connection

    wake = asyncio.Event()
    dsn = database.url("relay").replace("+asyncpg", "")
    listening = asyncio.create_task(listen_forever(dsn, wake, connect))
    await asyncio.wait_for(wake.wait(), 5)
    listening.cancel()
    assert attempts == [True, False]


async def test_a_commit_wakes_the_relay_at_once(
    sessions: SessionsOf, database: Database, relay: Relay
) -> None:
    wake = asyncio.Event()
    dsn = database.url("relay").replace("+asyncpg", "")
    work = asyncio.gather(relay_forever(relay, wake), listen_forever(dsn, wake, asyncpg.connect))
    await asyncio.sleep(0.3)
    async with sessions("generation").begin() as session:
        await add_event(session, event(5))
    entries = await read_events(relay.redis, job_stream(JOB), FIRST, wait_seconds=0.9)
    work.cancel()
    assert [sent.data["number"] for _, sent in entries] == [5]


async def test_only_the_relay_reads_the_outbox(sessions: SessionsOf) -> None:
    async with sessions("generation").begin() as session:
        await add_event(session, event(1))
    for role in ("generation", "worker", "user"):
        async with sessions(role)() as session:
            with pytest.raises(Exception, match="permission denied"):
                await session.execute(text("SELECT * FROM ops.outbox"))
