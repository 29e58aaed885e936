"""The sweeper: brings back what was lost, ends what waited too long, re-issues wake-ups."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

from celery import Celery
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.ledger import settle_hold
from libs.db.engine import Sessions
from libs.db.transaction import set_tenant
from libs.jobs.celery_app import queue_of_pool
from libs.jobs.rounds import repeat
from libs.telemetry.logs import get_logger
from services.generation.attempts import LEASE_EXPIRED, MAX_FAILURES
from services.generation.models import Job
from services.generation.repository import sweeps, workers
from services.generation.service.announcements import announce_end
from services.generation.service.endings import finish_job, hand_back_job
from services.generation.wake_ups import WAKE_UP

log = get_logger(__name__)
MAX_WAKE_UPS = 50
MAX_JOBS = 100  # in one sweep
swept = Counter("easel_jobs_swept_total", "Jobs that the sweeper took care of", ("outcome",))
last_round = Gauge("easel_sweeper_last_round_seconds", "When a round last ended well", ("round",))


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
        await hand_back_job(session, job, LEASE_EXPIRED, has_begun=True, failures=1)
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
    await settle_hold(session, user_id=job.user_id, hold_id=job.paying_hold, captured=0)
    await sweeps.expire(session, job.id)
    await session.refresh(job)
    await announce_end(session, job)
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


async def end_rests(sweeper: Sweeper) -> None:
    """Jobs whose rest after a failure is over wait again."""
    async with sweeper.sessions.begin() as session:
        await sweeps.end_rests(session)


async def wake_workers(sweeper: Sweeper) -> None:
    """Issue wake-ups for due jobs where the queue of their pool holds too few (Redis was lost)."""
    async with sweeper.sessions.begin() as session:
        waiting = await sweeps.count_waiting_users(session, MAX_WAKE_UPS)
    for pool, users in waiting.items():
        queue = queue_of_pool(pool)
        length = cast(Awaitable[int], sweeper.redis.llen(queue)) if users else None
        for _ in range(users - await length if length is not None else 0):
            await asyncio.to_thread(sweeper.celery.send_task, WAKE_UP, queue=queue, retry=False)


async def forget(sweeper: Sweeper) -> None:
    """Delete what nobody needs: answers after their day, places of users with nothing waiting."""
    async with sweeper.sessions.begin() as session:
        await sweeps.forget_old_answers(session)
    async with sweeper.sessions.begin() as session:
        await sweeps.forget_flows(session)
        await workers.forget_gone(session)


async def sweep_forever(sweeper: Sweeper) -> None:
    """All rounds side by side; an outage of a part ends one round, not the sweeper."""
    await asyncio.gather(
        *(
            repeat(
                work.__name__,
                partial(work, sweeper),
                seconds=seconds,
                wake=asyncio.Event(),
                last_round=last_round,
            )
            for work, seconds in ROUNDS.items()
        )
    )


ROUNDS: Mapping[Callable[[Sweeper], Awaitable[None]], float] = {
    recover_lost_jobs: 0.5,
    expire_jobs: 1.0,
    end_rests: 0.5,
    wake_workers: 1.0,
    forget: 60.0,
}
