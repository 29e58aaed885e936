"""The streams of a job and of a user: nothing is missed, whatever Redis loses.

Redis and PostgreSQL are real; the waits are short.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from libs.db.transaction import transaction
from libs.events.connection import build_redis
from libs.events.streams import job_stream, publish_event, user_stream
from libs.events.topics import Event
from libs.kernel.clock import utc_now
from services.generation.answers import finished_event
from services.generation.event_stream import stream_job
from services.generation.models import Job
from services.generation.service.owner import cancel_generation
from services.generation.user_stream import UserStream
from tests.services.generation.queue_of_jobs import Queue

SILENCE = 0.05
Chunks = AsyncGenerator[str, None]


def parse(chunk: str) -> tuple[str, dict[str, Any], str | None] | None:
    """Name, data and id of an event; None for a comment."""
    fields = dict(line.split(": ", 1) for line in chunk.strip().splitlines())
    if "event" not in fields:
        return None
    return fields["event"], json.loads(fields["data"]), fields.get("id")


async def next_events(chunks: Chunks, number: int) -> list[tuple[str, dict[str, Any], str | None]]:
    """The next events, without the comments between."""
    found = []
    async with asyncio.timeout(5):
        async for chunk in chunks:
            if event := parse(chunk):
                found.append(event)
            if len(found) == number:
                break
    return found


async def names(chunks: Chunks, number: int = 1) -> list[str]:
    return [name for name, *_ in await next_events(chunks, number)]


async def silence(chunks: Chunks, times: int = 2) -> None:
    """The stream has nothing to say for so many looks at the database."""
    async with asyncio.timeout(5):
        for _ in range(times):
            assert parse(await anext(chunks)) is None


def event(job: Job, topic: Any, **data: Any) -> Event:
    return Event(topic=topic, user_id=job.user_id, job_id=job.id, data=data)


async def cancel(queue: Queue, job: Job) -> Job:
    async with transaction(queue.api, job.user_id) as session:
        return await cancel_generation(session, job.id, clock=utc_now)


@pytest.fixture
async def job(queue: Queue) -> Job:
    """One that waits; its events were not sent."""
    user = uuid4()
    return await queue.read(user, await queue.enter(user))


def of_job(queue: Queue, redis: Redis, job: Job, last: str | None = None) -> Chunks:
    return stream_job(queue.api, redis, job, last, silence_seconds=SILENCE)


def of_user(queue: Queue, redis: Redis, user_id: UUID, last: str | None = None) -> Chunks:
    stream = UserStream(queue.api, redis, user_id, utc_now, SILENCE, compare_seconds=SILENCE)
    return stream.events(last)


# A job's stream


async def test_an_id_whose_successors_were_trimmed_gets_a_new_snapshot(
    queue: Queue, redis: Redis, job: Job
) -> None:
    for step in range(6):
        await publish_event(redis, event(job, "job.progressed", step=step))
    told = await next_events(of_job(queue, redis, job), 7)
    first = told[1][2]
    assert await names(of_job(queue, redis, job, first)) == ["progress"]
    await redis.xtrim(job_stream(job.id), maxlen=3, approximate=False)
    again = await next_events(of_job(queue, redis, job, first), 4)
    assert [name for name, *_ in again] == ["snapshot", *["progress"] * 3]
    assert [data["step"] for _, data, _ in again[1:]] == [3, 4, 5]


async def test_a_stream_that_is_lost_while_it_is_read_begins_anew(
    queue: Queue, redis: Redis, job: Job
) -> None:
    await publish_event(redis, event(job, "job.started"))
    chunks = of_job(queue, redis, job)
    assert await names(chunks, 2) == ["snapshot", "started"]
    await silence(chunks)
    await redis.flushall()
    assert await names(chunks) == ["snapshot"]
    await publish_event(redis, event(job, "job.progressed", step=1))
    assert await names(chunks) == ["progress"]
    await redis.flushall()
    ended = await cancel(queue, job)
    assert await next_events(chunks, 9) == [
        ("finished", {"generation_id": str(job.id), **finished_event(ended).data}, None)
    ]


async def test_a_stream_that_begins_anew_by_an_earlier_clock_is_not_waited_for(
    queue: Queue, redis: Redis, job: Job
) -> None:
    """Its ids are older than those that were told: reading after them would tell nothing."""
    await publish_event(redis, event(job, "job.started"))
    chunks = of_job(queue, redis, job)
    await next_events(chunks, 2)
    await redis.flushall()
    late = event(job, "job.progressed", step=7).model_dump_json()
    await redis.xadd(job_stream(job.id), {"event": late}, id="5-0")
    assert await names(chunks, 2) == ["snapshot", "progress"]


async def test_a_job_that_an_operator_queues_again_is_told_to_its_true_end(
    queue: Queue, redis: Redis, job: Job
) -> None:
    for topic in ("job.started", "job.finished", "job.queued"):
        await publish_event(redis, event(job, topic))
    chunks = of_job(queue, redis, job)
    assert await names(chunks, 4) == ["snapshot", "started", "finished", "queued"]
    await silence(chunks)
    await publish_event(redis, finished_event(await cancel(queue, job)))
    assert await names(chunks, 9) == ["finished"]


async def test_an_end_that_redis_told_is_told_once(queue: Queue, redis: Redis, job: Job) -> None:
    ended = await cancel(queue, job)
    await publish_event(redis, finished_event(ended))
    await publish_event(redis, event(job, "job.progressed", step=3))  # late
    assert await names(of_job(queue, redis, ended), 9) == ["snapshot", "finished", "progress"]


async def test_without_redis_the_database_tells_the_end(queue: Queue, job: Job) -> None:
    away = build_redis("redis://127.0.0.1:9/0")
    ended = await cancel(queue, job)
    assert await names(of_job(queue, away, ended), 9) == ["snapshot", "finished"]


# A user's stream


async def test_a_user_hears_of_all_jobs_after_a_snapshot_of_those_that_wait_or_run(
    queue: Queue, redis: Redis, job: Job
) -> None:
    other = await queue.read(job.user_id, await queue.enter(job.user_id))
    done = await queue.read(job.user_id, await queue.enter(job.user_id))
    await cancel(queue, done)
    await queue.enter(uuid4())  # somebody else's
    await publish_event(redis, event(done, "job.queued"))
    chunks = of_user(queue, redis, job.user_id)
    ((name, data, _),) = await next_events(chunks, 1)
    assert (name, [one["id"] for one in data["jobs"]]) == (
        "snapshot",
        [str(job.id), str(other.id)],
    )
    await publish_event(redis, event(job, "job.started"))
    await publish_event(redis, event(other, "job.progressed", step=1))
    told = await next_events(chunks, 2)
    assert [(name, data["generation_id"]) for name, data, _ in told] == [
        ("started", str(job.id)),
        ("progress", str(other.id)),
    ]


async def test_who_comes_back_goes_on_where_they_were(queue: Queue, redis: Redis, job: Job) -> None:
    chunks = of_user(queue, redis, job.user_id)
    assert await names(chunks) == ["snapshot"]
    for step in range(4):
        await publish_event(redis, event(job, "job.progressed", step=step))
    told = await next_events(chunks, 2)
    again = of_user(queue, redis, job.user_id, told[1][2])
    assert [data["step"] for _, data, _ in await next_events(again, 2)] == [2, 3]


@pytest.mark.parametrize("lost", ["trimmed", "flushed", "expired"])
async def test_what_was_lost_meanwhile_is_told_by_a_snapshot_and_the_ends(
    queue: Queue, redis: Redis, job: Job, lost: str
) -> None:
    chunks = of_user(queue, redis, job.user_id)
    await next_events(chunks, 1)
    await publish_event(redis, event(job, "job.started"))
    ((_, _, last),) = await next_events(chunks, 1)
    ended = await cancel(queue, job)
    await publish_event(redis, finished_event(ended))
    if lost == "flushed":
        await redis.flushall()
    elif lost == "expired":
        await redis.unlink(user_stream(job.user_id))
    else:
        other = event(job, "job.progressed", step=1).model_copy(update={"job_id": uuid4()})
        await publish_event(redis, other)
        await redis.xtrim(user_stream(job.user_id), maxlen=1, approximate=False)
    told = await next_events(of_user(queue, redis, job.user_id, last), 2)
    assert [name for name, *_ in told] == ["snapshot", "finished"]
    assert told[0][1]["jobs"] == []
    assert (told[1][1]["generation_id"], told[1][1]["status"]) == (str(job.id), "cancelled")


async def test_an_end_whose_event_was_lost_is_told_by_the_database_once(
    queue: Queue, redis: Redis, job: Job
) -> None:
    chunks = of_user(queue, redis, job.user_id)
    await next_events(chunks, 1)
    ended = await cancel(queue, job)
    told = await next_events(chunks, 1)
    assert [(name, data["status"]) for name, data, _ in told] == [("finished", "cancelled")]
    await publish_event(redis, finished_event(ended))  # it was late, not lost
    await silence(chunks)


async def test_a_job_whose_events_were_lost_comes_by_a_new_snapshot(
    queue: Queue, redis: Redis, job: Job
) -> None:
    chunks = of_user(queue, redis, job.user_id)
    await next_events(chunks, 1)
    fresh = await queue.enter(job.user_id)
    await silence(chunks)  # its event may be on its way
    old = text("UPDATE generation.jobs SET created_at = now() - interval '1 minute' WHERE id = :id")
    async with queue.workers.begin() as session:
        await session.execute(old, {"id": fresh})
    ((name, data, _),) = await next_events(chunks, 1)
    assert (name, [one["id"] for one in data["jobs"]]) == ("snapshot", [str(job.id), str(fresh)])
    await silence(chunks)


async def test_redis_lost_while_it_is_read_begins_anew_and_misses_no_end(
    queue: Queue, redis: Redis, job: Job
) -> None:
    await publish_event(redis, event(job, "job.queued"))
    chunks = of_user(queue, redis, job.user_id)
    await next_events(chunks, 1)
    await redis.flushall()
    await cancel(queue, job)
    assert sorted(await names(chunks, 2)) == ["finished", "snapshot"]
    await silence(chunks)


async def test_a_user_without_jobs_or_redis_gets_an_empty_snapshot(queue: Queue) -> None:
    away = build_redis("redis://127.0.0.1:9/0")
    ((name, data, _),) = await next_events(of_user(queue, away, uuid4()), 1)
    assert (name, data) == ("snapshot", {"jobs": []})
