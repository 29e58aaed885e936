from uuid import uuid4

from redis.asyncio import Redis

from libs.events.streams import FIRST, job_stream, publish_event, read_events
from libs.events.topics import Event

USER, JOB = uuid4(), uuid4()


def progress(step: int) -> Event:
    return Event(topic="job.progressed", user_id=USER, job_id=JOB, data={"step": step})


async def read_steps(redis: Redis, stream: str, after: str) -> list[tuple[str, int]]:
    entries = await read_events(redis, stream, after, wait_seconds=0.01)
    return [(entry_id, event.data["step"]) for entry_id, event in entries]


async def test_a_reader_resumes_after_the_last_event_it_saw(redis: Redis) -> None:
    for step in range(5):
        await publish_event(redis, progress(step))
    entries = await read_steps(redis, job_stream(JOB), FIRST)
    assert [step for _, step in entries] == [0, 1, 2, 3, 4]
    assert await read_steps(redis, job_stream(JOB), entries[2][0]) == entries[3:]


async def test_every_job_has_a_stream_of_its_own(redis: Redis) -> None:
    other = progress(2).model_copy(update={"job_id": uuid4()})
    await publish_event(redis, progress(1))
    await publish_event(redis, other)
    assert [step for _, step in await read_steps(redis, job_stream(JOB), FIRST)] == [1]
    assert [step for _, step in await read_steps(redis, job_stream(other.job_id), FIRST)] == [2]
    assert len(await redis.keys("events:*")) == 2


async def test_silence_is_an_empty_answer(redis: Redis) -> None:
    assert await read_events(redis, job_stream(uuid4()), FIRST, wait_seconds=0.01) == []


async def test_streams_are_bounded_and_do_not_live_for_ever(redis: Redis) -> None:
    for step in range(2_300):
        await publish_event(redis, progress(step))
    assert await redis.xlen(job_stream(JOB)) < 2_200
    assert 0 < await redis.ttl(job_stream(JOB)) <= 3600
