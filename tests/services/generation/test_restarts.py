"""Restarting Triton: one command at a time, and no alarm after it has helped."""

import asyncio
import os
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from libs.triton.errors import ServerUnavailable
from services.generation.service.engine_room import Watchdog
from tests.faults.quick_engine import QuickEngine


class StubbornEngine(QuickEngine):
    """One that cannot be loaded again, until somebody restarts its Triton."""

    works = False

    async def reload(self) -> bool:
        if not self.works:
            raise ServerUnavailable("nothing answers")
        return False

    async def is_alive(self, seconds: float | None = None) -> bool:
        return self.works


def metric(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None
    return value


def restarts(how: str) -> float:
    return metric("easel_engine_mends_total", how=how)


async def broken_watchdog() -> tuple[StubbornEngine, Watchdog]:
    engine = StubbornEngine()
    watchdog = Watchdog(engine, "true")
    await watchdog.mend()
    assert metric("easel_engine_broken") == 1
    return engine, watchdog


async def test_an_engine_that_works_after_a_restart_is_not_called_broken() -> None:
    engine, watchdog = await broken_watchdog()
    engine.works = True
    assert await watchdog.look(0) == 0
    assert metric("easel_engine_broken") == 0


async def test_an_engine_that_draws_is_not_called_broken() -> None:
    _, watchdog = await broken_watchdog()
    watchdog.note_picture()
    assert metric("easel_engine_broken") == 0


async def test_an_engine_that_does_not_work_stays_broken() -> None:
    _, watchdog = await broken_watchdog()
    assert await watchdog.look(0) == 0
    assert metric("easel_engine_broken") == 1
    watchdog.note_picture()


async def test_a_restart_that_takes_too_long_is_ended_with_all_that_it_started(
    tmp_path: Path,
) -> None:
    pids, failed = tmp_path / "pids", restarts("restart failed")
    command = f"sh -c 'echo $$ > {pids}; sleep 30 & echo $! >> {pids}; wait'"
    watchdog = Watchdog(StubbornEngine(), command, command_seconds=0.5)
    await watchdog.mend()
    shell, child = map(int, pids.read_text().split())
    with pytest.raises(ProcessLookupError):
        os.kill(shell, 0)
    await until_over(child)
    assert restarts("restart failed") == failed + 1
    assert not watchdog.is_mending
    watchdog.note_picture()


async def until_over(pid: int) -> None:
    for _ in range(500):
        if is_over(pid):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{pid} is still there")


def is_over(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has asked for its status."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"
