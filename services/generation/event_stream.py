"""One job's events as server-sent events, without a gap.

A snapshot from the database comes first, then the job's Redis stream from its beginning or from
`Last-Event-ID`. The database is asked again whenever the stream is silent, so a stream that was
lost with Redis ends in the true final state all the same.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.events.streams import FIRST, job_stream, read_events
from libs.events.topics import Event
from services.generation.answers import finished_data, show_job
from services.generation.models import FINAL_STATES, Job
from services.generation.service import owner

SILENCE_SECONDS = 5.0
NAMES = {
    "job.queued": "queued",
    "job.started": "started",
    "job.progressed": "progress",
    "job.requeued": "requeued",
    "image.created": "image",
    "job.finished": "finished",
}


def format_event(name: str, data: dict[str, Any], event_id: str | None = None) -> str:
    """One event in the format of the WHATWG HTML standard, section 9.2."""
    lines = [f"event: {name}", f"data: {json.dumps(data, separators=(',', ':'))}"]
    if event_id is not None:
        lines.insert(0, f"id: {event_id}")
    return "\n".join(lines) + "\n\n"


def format_stream_event(entry_id: str, event: Event) -> str:
    """An entry of a Redis stream; its id is what `Last-Event-ID` resumes after."""
    data = {"generation_id": str(event.job_id), "at": event.at.isoformat(), **event.data}
    return format_event(NAMES[event.topic], data, entry_id)


async def read_job(sessions: Sessions, user_id: UUID, job_id: UUID) -> Job:
    """The job as it is now. Raises GenerationNotFound."""
    async with transaction(sessions, user_id) as session:
        return await owner.get_generation(session, job_id)


async def read_or_wait(redis: Redis, stream: str, after: str) -> list[tuple[str, Event]]:
    """The next entries; none after some silence, or a second after Redis has failed."""
    try:
        return await read_events(redis, stream, after, wait_seconds=SILENCE_SECONDS)
    except (RedisError, OSError):
        await asyncio.sleep(1.0)
        return []


async def stream_job(
    sessions: Sessions, redis: Redis, job: Job, last_event_id: str | None
) -> AsyncIterator[str]:
    """Everything that happens to a job until it has finished, as SSE text."""
    after = last_event_id or FIRST
    if last_event_id is None:
        yield format_event("snapshot", show_job(job).model_dump(mode="json"))
    while True:
        entries = await read_or_wait(redis, job_stream(job.id), after)
        for entry_id, event in entries:
            after = entry_id
            yield format_stream_event(entry_id, event)
            if event.topic == "job.finished":
                return
        if not entries:
            job = await read_job(sessions, job.user_id, job.id)
            if job.state in FINAL_STATES:
                data = {"generation_id": str(job.id), **finished_data(job)}
                yield format_event("finished", data)
                return
            yield ": alive\n\n"
