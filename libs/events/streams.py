"""Progress streams on Redis: one bounded stream a job.

Redis holds copies only: a stream that is lost costs progress bars, never a job; readers fall back
to the database.
"""

from uuid import UUID

from redis.asyncio import Redis

from libs.events.topics import Event

JOB_STREAM_LENGTH = 2_000
STREAM_LIFETIME_SECONDS = 3600
FIRST = "0-0"


def job_stream(job_id: UUID) -> str:
    """Key of the stream with everything that happens to one job."""
    return f"events:job:{job_id}"


async def publish_event(redis: Redis, event: Event) -> None:
    """Append an event to its job's stream in one round trip."""
    key = job_stream(event.job_id)
    async with redis.pipeline(transaction=False) as pipe:
        pipe.xadd(key, {"event": event.model_dump_json()}, maxlen=JOB_STREAM_LENGTH)
        pipe.expire(key, STREAM_LIFETIME_SECONDS)
        await pipe.execute()


async def read_events(
    redis: Redis, stream: str, after: str, *, wait_seconds: float
) -> list[tuple[str, Event]]:
    """Events after an entry id, oldest first; waits up to `wait_seconds` for the first one.

    Raises redis.RedisError when Redis is away.
    """
    answer = await redis.xread({stream: after}, count=100, block=max(1, int(wait_seconds * 1000)))
    entries = answer[0][1] if answer else []
    return [(entry_id, Event.model_validate_json(fields["event"])) for entry_id, fields in entries]
