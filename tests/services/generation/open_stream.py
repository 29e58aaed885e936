"""A reader of server-sent events on a real connection, and the service behind a real port."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from libs.web.server import listen, server_config
from services.generation.settings import GenerationSettings

WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Told:
    """One event."""

    name: str
    data: dict[str, Any]
    id: str | None


@dataclass
class Reader:
    """Reads events as a browser does."""

    lines: AsyncIterator[str]
    comments: list[str] = field(default_factory=list)
    retry: str | None = None
    last_id: str | None = None

    async def next(self) -> Told | None:
        """The next event; None at the end of the stream. Raises TimeoutError."""
        async with asyncio.timeout(WAIT_SECONDS):
            fields: dict[str, str] = {}
            async for line in self.lines:
                if not line and "event" in fields:
                    self.last_id = fields.get("id", self.last_id)
                    return Told(fields["event"], json.loads(fields["data"]), fields.get("id"))
                self.note(line, fields)
        return None

    def note(self, line: str, fields: dict[str, str]) -> None:
        name, _, value = line.partition(": ")
        if line.startswith(":"):
            self.comments.append(line)
        elif name == "retry":
            self.retry = value
        elif line:
            fields[name] = value

    async def until(self, name: str) -> list[Told]:
        """The events up to the next one of a name."""
        found: list[Told] = []
        while not found or found[-1].name != name:
            told = await self.next()
            assert told is not None, f"the stream ended after {[one.name for one in found]}"
            found.append(told)
        return found


@asynccontextmanager
async def reading(
    http: httpx.AsyncClient, path: str, headers: dict[str, str], last_id: str | None = None
) -> AsyncIterator[Reader]:
    """A stream that is read inside the block."""
    more = {"Last-Event-ID": last_id} if last_id else {}
    async with http.stream("GET", path, headers={**headers, **more}) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer.aiter_lines())


@asynccontextmanager
async def serving(app: Any, settings: GenerationSettings) -> AsyncIterator[httpx.AsyncClient]:
    """The application on a port, as `libs.web.server` runs it, and a client of it."""
    config = server_config(app, settings)
    listener = listen(config)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=WAIT_SECONDS) as client:
        yield client
    server.should_exit = server.force_exit = True
    await running
