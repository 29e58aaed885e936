"""The billing worker as a process: it wakes at once, survives outages and ends when told to."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from dev.parts.program import free_port
from libs.db.engine import Sessions
from libs.kernel.clock import utc_now
from libs.testkit.lemon_squeezy.books import new_books
from libs.testkit.postgres import Database, execute
from services.payment import worker
from tests.services.payment.shop import VARIANTS_JSON
from tests.services.payment.till import SMALL_PACK, Till, open_till

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 20
PROGRAM = (sys.executable, "-m", worker.__name__)


def settings_of(database: Database, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "EASEL_DATABASE_URL": database.url("billing"),
        "EASEL_METRICS_PORT": str(port),
        "EASEL_PUBLIC_URL": "https://easel.example",
        "EASEL_LEMON_SQUEEZY_API_URL": "http://127.0.0.1:9/v1",
        "EASEL_LEMON_SQUEEZY_API_KEY": "key",
        "EASEL_LEMON_SQUEEZY_STORE_ID": "1",
        "EASEL_LEMON_SQUEEZY_VARIANTS": VARIANTS_JSON,
        "EASEL_MAIL_TRANSPORT": "smtp",
        "EASEL_MAIL_FROM": "Easel <mail@easel.example>",
        "EASEL_SMTP_HOST": "127.0.0.1",
        "EASEL_SMTP_PORT": "9",
        "EASEL_SMTP_TLS": "none",
    }


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    for _ in range(20 * PATIENCE_SECONDS):
        if await is_so():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it never came to be so")


async def get(url: str) -> httpx.Response | None:
    """The answer; None while nobody answers."""
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return await client.get(url)
        except httpx.HTTPError:
            return None


@asynccontextmanager
async def running_worker(database: Database) -> AsyncIterator[tuple[Process, str]]:
    """The process and the address of its metrics; killed at the end if it still runs."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, env=settings_of(database, port), stderr=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"

    async def is_alive() -> bool:
        return await get(f"{url}/healthz") is not None

    try:
        await until(is_alive)
        yield process, f"{url}/metrics"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def till(sessions: Callable[[str], Sessions]) -> Till:
    return await open_till(sessions, books=new_books(utc_now()))


async def buy_and_wait(till: Till) -> None:
    """A webhook comes in, and its credits follow."""
    had = (await till.credits()).get("top_up", 0)
    till.buy(SMALL_PACK)
    await till.receive(event.body for event in till.told())

    async def arrived() -> bool:
        return (await till.credits()).get("top_up", 0) == had + 1_000

    await until(arrived)


async def test_it_applies_at_once_survives_an_outage_and_ends_within_two_seconds(
    till: Till, database: Database
) -> None:
    async with running_worker(database) as (process, metrics):
        await buy_and_wait(till)
        answer = await get(metrics)
        assert answer is not None
        assert 'easel_webhooks_applied_total{outcome="applied"} 1.0' in answer.text
        for name in ("inbox", "subscriptions", "free months", "expired credits", "ledger check"):
            assert f'easel_billing_last_round_timestamp_seconds{{round="{name}"}}' in answer.text

        cut = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE usename = 'easel_billing' AND datname = '{database.name}'"
        )
        await execute(database.server.admin_url(database.name), cut)
        await buy_and_wait(till)

        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.wait() == 0
        assert time.monotonic() - begun < 2


async def test_a_setting_that_is_missing_stops_it_by_its_name(database: Database) -> None:
    environment = settings_of(database, free_port())
    del environment["EASEL_LEMON_SQUEEZY_VARIANTS"]
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 78
    assert b"EASEL_LEMON_SQUEEZY_VARIANTS" in said
