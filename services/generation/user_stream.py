"""All of a user's jobs as server-sent events, without a gap.

A snapshot of the jobs that wait or run comes first, then the user's Redis stream. Who comes back
with `Last-Event-ID` goes on there; where something after it was trimmed or lost, the snapshot comes
anew, with a `finished` for what ended meanwhile. The database is asked again and again, so no final
state is missed when Redis loses events.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.events.streams import FIRST, place_of, user_stream
from libs.events.topics import Event
from libs.kernel.clock import Clock
from libs.web.event_streams import ALIVE, format_event
from services.generation.answers import show_job
from services.generation.event_stream import (
    BEGINNINGS,
    SILENCE_SECONDS,
    extent_or_none,
    format_end,
    format_stream_event,
    is_whole_after,
    read_or_wait,
    was_lost,
)
from services.generation.models import FINAL_STATES, Job
from services.generation.repository import watching

COMPARE_SECONDS = 15.0  # with the database, however much is told
ON_ITS_WAY = timedelta(seconds=10)  # from a commit to its event, unless that is lost
CLOCKS_DIFFER = timedelta(minutes=1)
LONGEST_ABSENCE = timedelta(hours=24)
REMEMBERED_ENDS = 2_000


@dataclass
class Told:
    """What a reader knows: the jobs that it takes for active, and the ends that it was told."""

    active: set[UUID] = field(default_factory=set)
    ends: OrderedDict[UUID, None] = field(default_factory=OrderedDict)

    def is_news(self, event: Event) -> bool:
        """Whether an event says something that the database did not say before."""
        if event.topic in BEGINNINGS:
            self.active.add(event.job_id)
            self.ends.pop(event.job_id, None)
        elif event.topic == "job.finished":
            return self.end(event.job_id)
        return True

    def end(self, job_id: UUID) -> bool:
        """Remember an end; False if it was told before."""
        self.active.discard(job_id)
        if job_id in self.ends:
            return False
        self.ends[job_id] = None
        if len(self.ends) > REMEMBERED_ENDS:
            self.ends.popitem(last=False)
        return True


@dataclass
class UserStream:
    """One reader's stream; the seconds say how often the database is asked."""

    sessions: Sessions
    redis: Redis
    user_id: UUID
    clock: Clock
    silence_seconds: float = SILENCE_SECONDS
    compare_seconds: float = COMPARE_SECONDS
    after: str = FIRST
    told: Told = field(default_factory=Told)

    @property
    def key(self) -> str:
        return user_stream(self.user_id)

    async def events(self, last_event_id: str | None) -> AsyncGenerator[str, None]:
        """Everything that happens to the user's jobs, as SSE text, without an end."""
        async for chunk in self.begin(last_event_id):
            yield chunk
        compared = time.monotonic()
        while True:
            entries = await read_or_wait(self.redis, self.key, self.after, self.silence_seconds)
            for chunk in self.tell(entries):
                yield chunk
            if entries and time.monotonic() - compared < self.compare_seconds:
                continue
            compared = time.monotonic()
            try:
                async for chunk in self.compare():
                    yield chunk
            except (SQLAlchemyError, OSError):
                pass  # the database is away: later
            yield ALIVE

    async def begin(self, last_event_id: str | None) -> AsyncGenerator[str, None]:
        """Go on after an id if nothing is lost, else the snapshot and what ended since."""
        extent = await extent_or_none(self.redis, self.key)
        if last_event_id is not None and is_whole_after(extent, last_event_id):
            self.after = last_event_id
            self.told.active = {job.id for job in await self.active_jobs()}
            return
        since = None if last_event_id is None else self.moment_of(last_event_id)
        async for chunk in self.snapshot(since):
            yield chunk

    async def snapshot(self, since: datetime | None) -> AsyncGenerator[str, None]:
        """Where the stream ends now, then what the database knows: what comes later is told."""
        extent = await extent_or_none(self.redis, self.key)
        self.after = FIRST if extent is None else extent.last
        active = await self.active_jobs()
        self.told.active = {job.id for job in active}
        data = {"jobs": [show_job(job).model_dump(mode="json") for job in active]}
        yield format_event("snapshot", data, self.after)
        if since is not None:
            async with transaction(self.sessions, self.user_id) as session:
                ended = await watching.list_ended_since(session, self.user_id, since)
            for chunk in self.tell_ends(ended):
                yield chunk

    async def compare(self) -> AsyncGenerator[str, None]:
        """What the reader was not told: ends, and all of it where the stream was lost."""
        known, active = set(self.told.active), await self.active_jobs()
        missing = known - {job.id for job in active}
        late = self.clock() - ON_ITS_WAY
        is_lost = was_lost(await extent_or_none(self.redis, self.key), self.after)
        if is_lost or any(job.id not in known and job.created_at < late for job in active):
            since = self.clock() - CLOCKS_DIFFER - timedelta(seconds=self.compare_seconds)
            async for chunk in self.snapshot(since):
                yield chunk
        if missing:
            async with transaction(self.sessions, self.user_id) as session:
                found = await watching.list_jobs(session, missing)
            self.told.active -= missing
            for chunk in self.tell_ends([job for job in found if job.state in FINAL_STATES]):
                yield chunk

    async def active_jobs(self) -> Sequence[Job]:
        async with transaction(self.sessions, self.user_id) as session:
            return await watching.list_active(session, self.user_id)

    def tell(self, entries: Sequence[tuple[str, Event]]) -> Iterator[str]:
        for entry_id, event in entries:
            self.after = entry_id
            if self.told.is_news(event):
                yield format_stream_event(entry_id, event)

    def tell_ends(self, jobs: Sequence[Job]) -> Iterator[str]:
        for job in jobs:
            if self.told.end(job.id):
                yield format_end(job)

    def moment_of(self, entry_id: str) -> datetime:
        """A little before an entry was made, by Redis' clock; not longer ago than a day."""
        now, milliseconds = self.clock(), place_of(entry_id)[0]
        oldest = now - LONGEST_ABSENCE
        seconds = min(milliseconds / 1000, now.timestamp())
        if seconds <= oldest.timestamp():
            return oldest
        return datetime.fromtimestamp(seconds, UTC) - CLOCKS_DIFFER


def stream_user(
    sessions: Sessions, redis: Redis, user_id: UUID, last_event_id: str | None, *, clock: Clock
) -> AsyncGenerator[str, None]:
    """Everything that happens to a user's jobs, as SSE text; ends when its reader goes."""
    return UserStream(sessions, redis, user_id, clock).events(last_event_id)
