"""The outlook as one process of the API knows it, read at most once a second; and what users have
in front of their jobs."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.clock import Clock, utc_now
from libs.tiers.catalogue import load_catalogue
from services.generation.models import Job
from services.generation.own_work import OwnJobs, own_work_before
from services.generation.repository import jobs, outlooks
from services.generation.schemas import WaitEstimate
from services.generation.waiting import (
    Overload,
    QueueOutlook,
    estimate_job,
    show_wait,
    tables_for_acceptance,
)

REFRESH_SECONDS = 1.0


@dataclass(frozen=True)
class Forecast:
    """The outlook, and what `generation.accept_job` tells waits by."""

    outlook: QueueOutlook
    tables: str


class Waits:
    """What one process knows of the queue, which is everybody's: the same for each caller."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        overload: Overload = "refuse",
        clock: Clock = utc_now,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self.sessions, self.overload, self.clock = sessions, overload, clock
        self.refresh_seconds = refresh_seconds
        self._forecast: Forecast | None = None
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self) -> Forecast:
        """What is known now; who comes while it is read anew takes the old."""
        known = self._forecast
        if known is not None and (not self._is_old() or self._reading.locked()):
            return known
        async with self._reading:
            if self._forecast is None or self._is_old():
                self._forecast = await self._ask()
                self._read_at = time.monotonic()
            return self._forecast

    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at >= self.refresh_seconds

    async def _ask(self) -> Forecast:
        async with transaction(self.sessions) as session:
            outlook = await outlooks.read_outlook(session)
        return Forecast(outlook, tables_for_acceptance(outlook, self.overload, self.clock()))


async def current_forecast(request: Request) -> Forecast:
    """FastAPI dependency, to be named before the session: it may need a connection of its own."""
    waits: Waits = request.app.state.waits
    return await waits.read()


CurrentForecast = Annotated[Forecast, Depends(current_forecast)]


def estimate_jobs(outlook: QueueOutlook, own: OwnJobs) -> dict[UUID, WaitEstimate]:
    """When each of a user's waiting jobs starts and finishes, oldest first."""
    told: dict[UUID, WaitEstimate] = {}
    before = 0
    for job in own.waiting:
        tier = load_catalogue().tier(job.tier)
        work = own_work_before(own, job, before, tier, outlook.at)
        told[job.id] = show_wait(estimate_job(outlook, tier, job.model, job.cost, work))
        before += job.cost
    return told


async def estimate_of_job(
    session: AsyncSession, outlook: QueueOutlook, job: Job
) -> WaitEstimate | None:
    """When a job starts and finishes; None unless it waits."""
    if job.state != "queued":
        return None
    own = await jobs.read_own_jobs(session, job.user_id)
    return estimate_jobs(outlook, own).get(job.id)
