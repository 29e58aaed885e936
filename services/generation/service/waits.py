"""How long a job would wait in each pool, read from the queue at most once a second."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.tiers.catalogue import Pool, load_catalogue
from services.generation.repository import jobs
from services.generation.schemas import WaitEstimate
from services.generation.waiting import estimate_wait

REFRESH_SECONDS = 1.0
POOLS: tuple[Pool, ...] = tuple(sorted({tier.gpu_pool for tier in load_catalogue().tiers}))


@dataclass(frozen=True)
class Estimates:
    """The wait in each pool, and what the `queued` event of a job there says of it."""

    by_pool: Mapping[Pool, WaitEstimate]
    events: Mapping[Pool, Mapping[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        events = {
            pool: {"position": wait.jobs_ahead + 1, "eta": wait.model_dump()}
            for pool, wait in self.by_pool.items()
        }
        object.__setattr__(self, "events", events)


class Waits:
    """One process's estimates. The queue is everybody's, so they are the same for every caller."""

    def __init__(self, sessions: Sessions, *, refresh_seconds: float = REFRESH_SECONDS) -> None:
        self.sessions, self.refresh_seconds = sessions, refresh_seconds
        self._estimates: Estimates | None = None
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self) -> Estimates:
        """The estimate of each pool; who comes while they are read anew takes the old ones."""
        known = self._estimates
        if known is not None and (not self._is_old() or self._reading.locked()):
            return known
        async with self._reading:
            if self._estimates is None or self._is_old():
                self._estimates = await self._ask()
                self._read_at = time.monotonic()
            return self._estimates

    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at >= self.refresh_seconds

    async def _ask(self) -> Estimates:
        async with transaction(self.sessions) as session:
            outlooks = {pool: await jobs.read_outlook(session, pool) for pool in POOLS}
        return Estimates({pool: estimate_wait(outlook) for pool, outlook in outlooks.items()})
