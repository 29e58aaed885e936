"""Kills what runs, at random moments, and measures how soon the work is taken up again."""

import asyncio
import contextlib
import random
import shutil
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from tests.faults.mortal_parts import WORKERS, Mortal

SHARE = 0.3  # of all attempts are killed with their worker
LOOK_SECONDS = 0.1
NOTICE_SECONDS = 0.05
OTHERS = ("api", "redis", "postgres", "relay")
PROGRESS = """
    SELECT coalesce(sum(attempt), 0) AS attempts,
        count(*) FILTER (WHERE finished_at IS NOT NULL) AS ended FROM generation.jobs
"""
# A worker claims under its name and the number of the claim.
IN_FLIGHT = """
    SELECT job_id, attempt, split_part(worker, '/', 1) AS worker FROM generation.leases
"""
Attempt = tuple[UUID, int]


@dataclass
class Killer:
    """What was killed when, and after how many seconds nobody waited for the dead any more."""

    platform: Mortal
    dice: random.Random
    deaths: Counter[str] = field(default_factory=Counter)
    killed: dict[Attempt, float] = field(default_factory=dict)
    recovered: dict[Attempt, float] = field(default_factory=dict)
    attempts: int = 0
    connection: asyncpg.Connection | None = None

    async def ask(self, query: str) -> list[Any]:
        """What the database answers, once it does."""
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if self.connection is None or self.connection.is_closed():
                    database = self.platform.database
                    url = database.server.admin_url(database.name)
                    self.connection = await asyncpg.connect(url)
                return list(await self.connection.fetch(query))
            await asyncio.sleep(LOOK_SECONDS)

    async def see_to_the_end(self, jobs: int, deadline: float) -> None:
        """Kill until so many jobs have ended. Fails when that takes too long."""
        moments = sorted((self.dice.uniform(0.02, 0.9), part) for part in OTHERS * 3)
        while True:
            (progress,) = await self.ask(PROGRESS)
            self.attempts = int(progress["attempts"])
            in_flight = await self.ask(IN_FLIGHT)
            self.note_recovered({(row["job_id"], row["attempt"]) for row in in_flight})
            if progress["ended"] == jobs and not in_flight:
                return
            assert time.monotonic() < deadline, f"{progress['ended']} of {jobs} have ended"
            if len(self.killed) < SHARE * self.attempts:
                await self.kill_a_worker([row["worker"] for row in in_flight])
            while moments and progress["ended"] >= moments[0][0] * jobs:
                await self.kill_other(moments.pop(0)[1])
            await asyncio.sleep(LOOK_SECONDS * self.dice.random())

    def note_recovered(self, in_flight: set[Attempt]) -> None:
        now = time.monotonic()
        for attempt in self.killed.keys() - self.recovered.keys() - in_flight:
            self.recovered[attempt] = now - self.killed[attempt]

    async def kill_a_worker(self, busy: list[str]) -> None:
        """One of those that work; what it had in its hands is remembered."""
        names = {f"{socket.gethostname()}:{self.platform.forks[n]}": n for n in worker_names()}
        working = sorted(set(busy) & set(names))
        if not working:
            return
        worker = self.dice.choice(working)
        await asyncio.to_thread(self.platform.kill_fork, names[worker])
        now = time.monotonic()
        self.deaths["worker"] += 1
        await asyncio.sleep(NOTICE_SECONDS)  # what it had committed is no loss
        for row in await self.ask(IN_FLIGHT):
            if row["worker"] == worker:
                self.killed[row["job_id"], row["attempt"]] = now
        await asyncio.to_thread(self.platform.start_fork, names[worker])

    async def kill_other(self, part: str) -> None:
        """Another part, which comes back after a moment; every other Redis has lost all it had."""
        self.deaths[part] += 1
        if part in self.platform.forks:
            await asyncio.to_thread(self.platform.kill_fork, part)
            await asyncio.sleep(self.dice.random())
            await asyncio.to_thread(self.platform.start_fork, part)
            return
        await asyncio.to_thread(self.platform.crash_server, part)
        if part == "redis" and self.deaths[part] % 2:
            shutil.rmtree(self.platform.folder / "redis" / "appendonlydir", ignore_errors=True)
            (self.platform.folder / "redis" / "appendonly.aof").unlink(missing_ok=True)
        await asyncio.sleep(self.dice.random())
        await asyncio.to_thread(self.platform.start_server, part)


def worker_names() -> list[str]:
    """The workers as the platform calls them."""
    return [f"worker-{number}" for number in range(WORKERS)]
