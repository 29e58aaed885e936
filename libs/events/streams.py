"""Progress streams on Redis: one bounded stream a job, and one a user with all of their jobs.

Redis holds copies only: a stream that is lost costs progress bars, never a job; readers fall back
to the database.
"""

from dataclasses import dataclass
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from libs.events.topics import Event, Topic

JOB_STREAM_LENGTH = 2_000
USER_STREAM_LENGTH = 2_000
STREAM_LIFETIME_SECONDS = 3600
ENTRIES_AT_ONCE = 50
FIRST = "0-0"
BULKY = {"preview"}  # in a job's own stream alone: of all jobs of a user they would fill Redis


def job_stream(job_id: UUID) -> str:
    """Key of the stream with everything that happens to one job."""
    return f"events:job:{job_id}"


def user_stream(user_id: UUID) -> str:
    """Key of the stream with everything that happens to a user's jobs, without previews."""
    return f"events:user:{user_id}"


async def publish_event(redis: Redis, event: Event) -> None:
    """Append an event to its job's and its user's stream in one round trip."""
    whole = event.model_dump_json()
    small = whole
    if BULKY & event.data.keys():
        data = {name: value for name, value in event.data.items() if name not in BULKY}
        small = event.model_copy(update={"data": data}).model_dump_json()
    async with redis.pipeline(transaction=False) as pipe:
        for key, text, length in (
            (job_stream(event.job_id), whole, JOB_STREAM_LENGTH),
            (user_stream(event.user_id), small, USER_STREAM_LENGTH),
        ):
            pipe.xadd(key, {"event": text}, maxlen=length)
            pipe.expire(key, STREAM_LIFETIME_SECONDS)
        await pipe.execute()


async def read_events(
    redis: Redis, stream: str, after: str, *, wait_seconds: float
) -> list[tuple[str, Event]]:
    """Events after an entry id, oldest first; waits up to `wait_seconds` for the first one.

    Raises redis.RedisError when Redis is away.
    """
    block = max(1, int(wait_seconds * 1000))
    answer = await redis.xread({stream: after}, count=ENTRIES_AT_ONCE, block=block)
    entries = answer[0][1] if answer else []
    return [(entry_id, Event.model_validate_json(fields["event"])) for entry_id, fields in entries]


async def read_last(redis: Redis, stream: str, topic: Topic) -> Event | None:
    """The newest event of a topic, if it is among the last of the stream. Raises redis.RedisError
    when Redis is away."""
    entries = await redis.xrevrange(stream, count=ENTRIES_AT_ONCE)
    events = (Event.model_validate_json(fields["event"]) for _, fields in entries)
    return next((event for event in events if event.topic == topic), None)


@dataclass(frozen=True)
class Extent:
    """From which entry to which a stream reaches, now; `last` may be trimmed already."""

    first: str
    last: str

    def holds_all_after(self, entry_id: str) -> bool:
        """Whether nothing that came after an entry is lost."""
        return place_of(self.first) <= place_of(entry_id) <= place_of(self.last)


async def read_extent(redis: Redis, stream: str) -> Extent | None:
    """None: there is no such stream. Raises redis.RedisError when Redis is away."""
    try:
        info = await redis.xinfo_stream(stream)
    except ResponseError:
        return None
    entry = info["first-entry"]
    last = info["last-generated-id"]
    return Extent(last if entry is None else entry[0], last)


def place_of(entry_id: str) -> tuple[int, int]:
    """An entry id as numbers that are in the order of the stream."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
