"""The double for tests: a real HTTP server on a free loopback port, one a test."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Protocol

import pytest
import uvicorn

from dev.parts.program import LOOPBACK, free_port
from libs.testkit.lemon_squeezy.client import DoubleClient
from libs.testkit.lemon_squeezy.runtime import Settings
from libs.testkit.lemon_squeezy.server import create_app

START_SECONDS = 10.0


class StartDouble(Protocol):
    """Starts a double for the running test. Keywords are members of `Settings`."""

    async def __call__(self, **settings: Any) -> DoubleClient: ...


@contextmanager
def serving(settings: Settings) -> Iterator[None]:
    """The server runs inside the block, on a thread and an event loop of its own."""
    config = uvicorn.Config(
        create_app(settings),
        host=LOOPBACK,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="lemon-squeezy", daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the Lemon Squeezy double does not start")
        time.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@asynccontextmanager
async def running_double(**settings: Any) -> AsyncIterator[DoubleClient]:
    """A double and its client. Its clock stands still unless `frozen=False`; it sends webhooks
    where `webhook_url` says, and nowhere without it."""
    chosen = Settings(**{"port": free_port(), "frozen": True, **settings})
    with serving(chosen):
        client = DoubleClient(chosen)
        try:
            yield client
        finally:
            await client.http.aclose()


@pytest.fixture
async def start_lemon_squeezy() -> AsyncIterator[StartDouble]:
    """A function that starts doubles; they end with the test."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> DoubleClient:
            return await stack.enter_async_context(running_double(**settings))

        yield start


@pytest.fixture
async def lemon_squeezy(start_lemon_squeezy: StartDouble) -> DoubleClient:
    """A double without webhooks, its clock standing still."""
    return await start_lemon_squeezy()
