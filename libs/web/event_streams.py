"""Server-sent events (WHATWG HTML standard, section 9.2): their form, and streams that end.

A stream is a request that lasts: it ends with its caller's login, it takes a place of its user's
few, and a client that does not read is cut off instead of being kept in memory.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any
from uuid import UUID

from prometheus_client import Gauge
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from libs.kernel.problems import Problem, RateLimited, ServiceUnavailable
from libs.telemetry.logs import get_logger

log = get_logger(__name__)
RETRY_MILLISECONDS = 2_000
CHECK_SECONDS = 5.0
UNCHECKED_SECONDS = 60.0  # how long a stream outlives the part that would say who may stay
WRITE_SECONDS = 30.0
MAX_STREAMS_OF_USER = 20
MAX_STREAMS = 1_000
ALIVE = ": alive\n\n"  # keeps proxies from closing a silent stream
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
open_streams = Gauge("easel_event_streams_open", "Streams of server-sent events that are open")


class TooManyStreams(RateLimited):
    slug, title = "too-many-streams", "You have as many event streams open as anybody may have"


def format_event(name: str, data: Any, event_id: str | None = None) -> str:
    """One event; its id is what `Last-Event-ID` resumes after."""
    lines = [f"event: {name}", f"data: {json.dumps(data, separators=(',', ':'))}"]
    if event_id is not None:
        lines.insert(0, f"id: {event_id}")
    return "\n".join(lines) + "\n\n"


class OpenStreams:
    """Counts the streams of one process, by user."""

    def __init__(self, *, of_user: int = MAX_STREAMS_OF_USER, of_all: int = MAX_STREAMS) -> None:
        self.of_user, self.of_all = of_user, of_all
        self.by_user: Counter[UUID] = Counter()

    def require_place(self, user_id: UUID) -> None:
        """Raises TooManyStreams (429), or ServiceUnavailable where the process is full."""
        if self.by_user[user_id] >= self.of_user:
            raise TooManyStreams(
                f"{self.of_user} are open",
                retry_after_seconds=5,
                limit=self.of_user,
                used=self.by_user[user_id],
            )
        if self.by_user.total() >= self.of_all:
            raise ServiceUnavailable("Too many event streams are open here")

    @contextmanager
    def place(self, user_id: UUID) -> Iterator[None]:
        """One place inside the block. Raises as `require_place` does."""
        self.require_place(user_id)
        self.by_user[user_id] += 1
        open_streams.inc()
        try:
            yield
        finally:
            open_streams.dec()
            self.by_user[user_id] -= 1
            if not self.by_user[user_id]:
                del self.by_user[user_id]


async def while_welcome(
    events: AsyncGenerator[str, None],
    require_welcome: Callable[[], Awaitable[object]],
    *,
    check_seconds: float = CHECK_SECONDS,
    bear_seconds: float = UNCHECKED_SECONDS,
) -> AsyncGenerator[str, None]:
    """The events until their reader is not welcome any more, which an event `closed` tells.

    `require_welcome` raises a Problem below 500 then; whatever else it raises is a part that is
    away, which is borne for `bear_seconds`. `events` must never be silent for long: its chunks are
    the occasions on which this is asked.
    """
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    asked = welcome = time.monotonic()
    async with aclosing(events):
        async for chunk in events:
            now = time.monotonic()
            if now - asked >= check_seconds:
                asked = now
                refusal = await refusal_of(require_welcome)
                if refusal is None:
                    welcome = now
                elif refusal.status < 500 or now - welcome >= bear_seconds:
                    yield format_event("closed", {"reason": refusal.slug})
                    return
            yield chunk


async def refusal_of(require_welcome: Callable[[], Awaitable[object]]) -> Problem | None:
    """Why a reader may not stay; ServiceUnavailable when a part that would know is away."""
    try:
        await require_welcome()
    except Problem as refusal:
        return refusal
    except Exception as error:  # noqa: BLE001 - of whatever part
        log.warning("stream_not_checked", error=repr(error))
        return ServiceUnavailable()
    return None


class EventStream(StreamingResponse):
    """The answer. It holds a place while it lasts; who reads nothing for long is cut off."""

    def __init__(
        self,
        events: AsyncGenerator[str, None],
        places: OpenStreams,
        user_id: UUID,
        *,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        places.require_place(user_id)  # a refusal can be told now, and not any more below
        super().__init__(events, media_type="text/event-stream", headers=HEADERS)
        self.events, self.write_seconds = events, write_seconds
        self.places, self.user_id = places, user_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.places.place(self.user_id):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Any) -> None:
            async with asyncio.timeout(self.write_seconds):
                await send(message)

        async with aclosing(self.events):
            try:
                await super().stream_response(send_in_time)
            except TimeoutError:
                return  # the connection is closed, since the answer is not whole
