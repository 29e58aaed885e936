from uuid import uuid4

from redis.asyncio import Redis

from libs.events.streams import (
    FIRST,
    Extent,
    job_stream,
    place_of,
    publish_event,
    read_events,
    read_extent,
    user_stream,
)
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
    assert len(await redis.keys("events:job:*")) == 2


async def test_silence_is_an_empty_answer(redis: Redis) -> None:
    assert await read_events(redis, job_stream(uuid4()), FIRST, wait_seconds=0.01) == []


async def test_streams_are_bounded_and_do_not_live_for_ever(redis: Redis) -> None:
    for step in range(2_300):
        await publish_event(redis, progress(step))
    for key in (job_stream(JOB), user_stream(USER)):
        assert await redis.xlen(key) < 2_200
        assert 0 < await redis.ttl(key) <= 3600


async def test_a_user_has_a_stream_of_all_jobs_without_previews(redis: Redis) -> None:
    other = uuid4()
    await publish_event(redis, progress(1))
    pictured = {"step": 2, "preview": "data:image/png;base64,AAAA"}
    await publish_event(redis, progress(2).model_copy(update={"job_id": other, "data": pictured}))
    entries = await read_events(redis, user_stream(USER), FIRST, wait_seconds=0.01)
    assert [(event.job_id, event.data) for _, event in entries] == [
        (JOB, {"step": 1}),
        (other, {"step": 2}),
    ]
    (own,) = await read_events(redis, job_stream(other), FIRST, wait_seconds=0.01)
    assert own[1].data == pictured


async def test_a_stream_tells_from_where_to_where_it_reaches(redis: Redis) -> None:
    key = job_stream(JOB)
    assert await read_extent(redis, key) is None
    for step in range(5):
        await publish_event(redis, progress(step))
    ids = [entry_id for entry_id, _ in await read_steps(redis, key, FIRST)]
    assert await read_extent(redis, key) == Extent(ids[0], ids[4])
    await redis.xtrim(key, maxlen=2, approximate=False)
    trimmed = await read_extent(redis, key)
    assert trimmed == Extent(ids[3], ids[4])
    assert [trimmed.holds_all_after(entry_id) for entry_id in ids] == [False] * 3 + [True] * 2
    assert not trimmed.holds_all_after(FIRST)
    assert not trimmed.holds_all_after("9999999999999-0")  # of a clock that was ahead
    await redis.xtrim(key, maxlen=0)
    empty = await read_extent(redis, key)
    assert empty is not None and empty.holds_all_after(ids[4])
    assert not empty.holds_all_after(ids[3])


def test_entries_are_in_the_order_of_numbers_not_of_text() -> None:
    mixed = ["10-10", "1763800000000-0", "9-0", "10-2", "10-0"]
    assert sorted(mixed, key=place_of) == ["9-0", "10-0", "10-2", "10-10", "1763800000000-0"]
