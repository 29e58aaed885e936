"""The sweeper: brings back what was lost, ends what waited too long, re-issues wake-ups."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from celery import Celery
from prometheus_client import Counter
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.ledger import settle_hold
from libs.db.engine import Sessions
from libs.db.transaction import set_tenant
from libs.jobs.celery_app import queue_of_pool
from libs.jobs.outbox import add_event
from libs.telemetry.logs import get_logger
from services.generation.answers import finished_event
from services.generation.attempts import LEASE_EXPIRED, MAX_FAILURES
from services.generation.models import Job
from services.generation.repository import sweeps
from services.generation.service.endings import finish_job, hand_back_job
from services.generation.wake_ups import WAKE_UP

log = get_logger(__name__)
SWEEP_SECONDS = 2.0
MAX_WAKE_UPS = 50
MAX_JOBS = 100  # in one sweep
swept = Counter("easel_jobs_swept_total", "Jobs that the sweeper took care of", ("outcome",))


@dataclass(frozen=True)
class Sweeper:
    """What the sweeper works with."""

    sessions: Sessions
    redis: Redis
    celery: Celery


async def recover_job(session: AsyncSession, job: Job) -> None:
    """A worker has died: queue its job again, or give up after too many failures and refund."""
    log.warning("lease_expired", job_id=str(job.id), worker=job.worker)
    await set_tenant(session, job.user_id)
    if job.failures + 1 < MAX_FAILURES:
        await hand_back_job(session, job, LEASE_EXPIRED, failures=1)
        swept.labels("requeued").inc()
    else:
        await finish_job(session, job, "failed", error=LEASE_EXPIRED)
        swept.labels("failed").inc()


async def recover_lost_jobs(sweeper: Sweeper) -> None:
    """Take back every job whose lease has run out."""
    await one_by_one(sweeper, sweeps.next_without_lease, recover_job)


async def expire_job(session: AsyncSession, job: Job) -> None:
    """A queued job's deadline has passed: it ends, and nothing is charged."""
    await set_tenant(session, job.user_id)
    await sweeps.expire(session, job.id)
    await settle_hold(session, user_id=job.user_id, hold_id=job.id, captured=0)
    await session.refresh(job)
    await add_event(session, finished_event(job))
    swept.labels("expired").inc()


async def expire_jobs(sweeper: Sweeper) -> None:
    """End every queued job whose deadline has passed."""
    await one_by_one(sweeper, sweeps.next_past_deadline, expire_job)


async def one_by_one(
    sweeper: Sweeper,
    find: Callable[[AsyncSession], Awaitable[Job | None]],
    treat: Callable[[AsyncSession, Job], Awaitable[None]],
) -> None:
    """Treat what is found, each in a transaction of its own: two settlements in one would lock
    credits in an order of their own."""
    for _ in range(MAX_JOBS):
        async with sweeper.sessions.begin() as session:
            job = await find(session)
            if job is None:
                return
            await treat(session, job)


async def wake_workers(sweeper: Sweeper) -> None:
    """Issue wake-ups for due jobs where the queue of their pool holds none (Redis was lost)."""
    async with sweeper.sessions.begin() as session:
        due = await sweeps.count_due(session)
    for pool, count in due.items():
        queue = queue_of_pool(pool)
        length = cast(Awaitable[int], sweeper.redis.llen(queue))
        missing = min(count, MAX_WAKE_UPS) - await length
        for _ in range(missing):
            await asyncio.to_thread(sweeper.celery.send_task, WAKE_UP, queue=queue, retry=False)


async def forget_old_answers(sweeper: Sweeper) -> None:
    """Delete stored answers of idempotent requests after their day."""
    async with sweeper.sessions.begin() as session:
        await sweeps.forget_old_answers(session)


async def sweep_forever(sweeper: Sweeper) -> None:
    """Sweep every two seconds; an outage of a part ends one sweep, not the sweeper."""
    while True:
        for work in (recover_lost_jobs, expire_jobs, wake_workers, forget_old_answers):
            try:
                await work(sweeper)
            except Exception as error:  # noqa: BLE001 - whatever is away, try again
                log.warning("sweep_waits", work=work.__name__, error=repr(error))
        await asyncio.sleep(SWEEP_SECONDS)
