"""How long a job would wait in each pool, read from the queue at most once a second."""

import asyncio
import time
from collections.abc import Mapping

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.tiers.catalogue import Pool, load_catalogue
from services.generation.repository import jobs
from services.generation.schemas import WaitEstimate
from services.generation.waiting import estimate_wait

WaitsByPool = Mapping[Pool, WaitEstimate]
REFRESH_SECONDS = 1.0
POOLS: tuple[Pool, ...] = tuple(sorted({tier.gpu_pool for tier in load_catalogue().tiers}))


class Waits:
    """One process's estimates. The queue is everybody's, so they are the same for every caller."""

    def __init__(self, sessions: Sessions, *, refresh_seconds: float = REFRESH_SECONDS) -> None:
        self.sessions, self.refresh_seconds = sessions, refresh_seconds
        self._waits: WaitsByPool = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self) -> WaitsByPool:
        """The estimate of each pool; who comes while they are read anew takes the old ones."""
        if self._is_old() and not (self._waits and self._reading.locked()):
            async with self._reading:
                if self._is_old():
                    await self._refresh()
        return self._waits

    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at >= self.refresh_seconds

    async def _refresh(self) -> None:
        async with transaction(self.sessions) as session:
            self._waits = {
                pool: estimate_wait(await jobs.read_outlook(session, pool)) for pool in POOLS
            }
        self._read_at = time.monotonic()
