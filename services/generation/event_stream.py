"""One job's events as server-sent events, without a gap.

A snapshot from the database comes first, then the job's Redis stream from its beginning, or from
`Last-Event-ID` if nothing after it is lost. The database is asked again whenever the stream is
silent, so a stream that was lost with Redis ends in the true final state all the same.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.events.streams import FIRST, Extent, job_stream, place_of, read_events, read_extent
from libs.events.topics import Event
from libs.web.event_streams import ALIVE, format_event
from services.generation.answers import finished_data, show_job
from services.generation.models import FINAL_STATES, Job
from services.generation.service import owner

SILENCE_SECONDS = 5.0
AWAY_SECONDS = 1.0
DRAIN_SECONDS = 0.1  # of a job that has ended: what is left of its stream is there
BEGINNINGS = ("job.queued", "job.requeued", "job.started")  # an operator may queue an ended job
NAMES = {
    "job.queued": "queued",
    "job.started": "started",
    "job.progressed": "progress",
    "job.requeued": "requeued",
    "image.created": "image",
    "job.finished": "finished",
}


def format_stream_event(entry_id: str, event: Event) -> str:
    """An entry of a Redis stream; its id is what `Last-Event-ID` resumes after."""
    data = {"generation_id": str(event.job_id), "at": event.at.isoformat(), **event.data}
    return format_event(NAMES[event.topic], data, entry_id)


def format_end(job: Job) -> str:
    """The `finished` event of a job as the database knows it."""
    data: dict[str, Any] = {"generation_id": str(job.id), **finished_data(job)}
    return format_event("finished", data)


async def read_job(sessions: Sessions, user_id: UUID, job_id: UUID) -> Job:
    """The job as it is now. Raises GenerationNotFound."""
    async with transaction(sessions, user_id) as session:
        return await owner.get_generation(session, job_id)


async def read_or_wait(
    redis: Redis, stream: str, after: str, silence_seconds: float = SILENCE_SECONDS
) -> list[tuple[str, Event]]:
    """The next entries; none after some silence, or a second after Redis has failed."""
    try:
        return await read_events(redis, stream, after, wait_seconds=silence_seconds)
    except (RedisError, OSError):
        await asyncio.sleep(AWAY_SECONDS)
        return []


async def extent_or_none(redis: Redis, stream: str) -> Extent | None:
    """From where to where a stream reaches; None without one, or while Redis is away."""
    try:
        return await read_extent(redis, stream)
    except (RedisError, OSError):
        return None


def is_whole_after(extent: Extent | None, last_event_id: str) -> bool:
    """Whether a reader of `last_event_id` can be told all that came after it."""
    return extent is not None and extent.holds_all_after(last_event_id)


def was_lost(extent: Extent | None, after: str) -> bool:
    """Whether a stream that was read up to an entry is gone, or has begun anew."""
    if extent is None:
        return after != FIRST
    return place_of(extent.last) < place_of(after)


async def has_all(redis: Redis, job: Job, last_event_id: str | None) -> bool:
    """Whether a reader was told the end of a job already: nothing is left to say."""
    if last_event_id is None or job.state not in FINAL_STATES:
        return False
    try:
        newest = await redis.xrevrange(job_stream(job.id), count=1)
    except (RedisError, OSError):
        return False
    if not newest or newest[0][0] != last_event_id:
        return False
    return Event.model_validate_json(newest[0][1]["event"]).topic == "job.finished"


async def look_again(sessions: Sessions, job: Job) -> Job:
    """The job as it is now; as it was known while the database is away."""
    try:
        return await read_job(sessions, job.user_id, job.id)
    except (SQLAlchemyError, OSError):
        return job


async def stream_job(
    sessions: Sessions,
    redis: Redis,
    job: Job,
    last_event_id: str | None,
    *,
    silence_seconds: float = SILENCE_SECONDS,
) -> AsyncGenerator[str, None]:
    """Everything that happens to a job until it has finished, as SSE text.

    An id whose successors were trimmed or lost is answered as none is: from the snapshot on.
    Raises GenerationNotFound when the job is erased meanwhile.
    """
    stream, after, is_told = job_stream(job.id), last_event_id or FIRST, False
    if last_event_id is None or not is_whole_after(
        await extent_or_none(redis, stream), last_event_id
    ):
        after = FIRST
        yield format_event("snapshot", show_job(job).model_dump(mode="json"))
    while True:
        is_final = job.state in FINAL_STATES
        wait = min(DRAIN_SECONDS, silence_seconds) if is_final else silence_seconds
        entries = await read_or_wait(redis, stream, after, wait)
        for entry_id, event in entries:
            after = entry_id
            is_told = event.topic == "job.finished" or (is_told and event.topic not in BEGINNINGS)
            yield format_stream_event(entry_id, event)
        if entries and not is_told:
            continue
        job = await look_again(sessions, job)
        if job.state in FINAL_STATES and (not entries or is_final):
            if not is_told:
                yield format_end(job)
            return
        if not entries:
            yield ALIVE
            if was_lost(await extent_or_none(redis, stream), after):
                after = FIRST
                yield format_event("snapshot", show_job(job).model_dump(mode="json"))
