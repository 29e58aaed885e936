"""The double as a process of its own: the start command, its clock, and what survives a kill."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dev.parts.program import answers_http, free_port
from libs.testkit.lemon_squeezy.client import DoubleClient
from libs.testkit.lemon_squeezy.runtime import Settings

ROOT = Path(__file__).parents[4]


@contextmanager
def process(port: int, state: Path, *, kill: bool) -> Iterator[None]:
    """The documented start command; ends by SIGKILL or SIGTERM."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "EASEL_LS_PORT": str(port),
        "EASEL_LS_API_KEY": "local-api-key",
        "EASEL_LS_STATE": str(state),
    }
    running = subprocess.Popen(
        [sys.executable, "-m", "libs.testkit.lemon_squeezy.server"], env=environment
    )
    try:
        deadline = time.monotonic() + 20
        while not answers_http(f"http://127.0.0.1:{port}/health"):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield
    finally:
        (running.kill if kill else running.terminate)()
        running.wait(10)


async def test_the_file_keeps_everything(tmp_path: Path) -> None:
    port, state = free_port(), tmp_path / "store" / "lemon-squeezy.json"
    double = DoubleClient(Settings(port))
    with process(port, state, kill=True):
        bought = await double.buy(1001, email="ann@example.com")
        await double.advance(days=3)
        before = await double.subscription(bought.subscription_id or "")
        sent = await double.deliveries()
    with process(port, state, kill=False):
        after = await double.subscription(bought.subscription_id or "")
        assert {**after, "urls": None} == {**before, "urls": None}
        assert await double.deliveries() == sent
        assert 2.9 < (await double.now() - datetime.now(UTC)).total_seconds() / 86_400 < 3.1
        await double.advance(days=5)
        assert (await double.subscription(bought.subscription_id or ""))["status"] == "active"
        await double.reset()
        assert await double.find("subscriptions") == []
    await double.http.aclose()


async def test_the_clock_runs_by_itself(tmp_path: Path) -> None:
    port = free_port()
    double = DoubleClient(Settings(port))
    with process(port, tmp_path / "state.json", kill=False):
        first = await double.now()
        deadline = time.monotonic() + 5
        while await double.now() == first:
            assert time.monotonic() < deadline
    await double.http.aclose()
