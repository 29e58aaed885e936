"""The sweeper on real PostgreSQL and Redis: lost workers, deadlines, lost wake-ups."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import cast
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.credits.ledger import available_credits
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.jobs.celery_app import build_celery
from services.generation.attempts import MAX_FAILURES
from services.generation.sweeper import (
    Sweeper,
    expire_jobs,
    recover_lost_jobs,
    wake_workers,
)
from tests.services.generation.queue_of_jobs import PRICE, Queue, lose_worker


@pytest.fixture
def sweeper(queue: Queue, redis: Redis, redis_url: str) -> Sweeper:
    return Sweeper(queue.relay, redis, build_celery(redis_url))


async def available(queue: Queue, user: UUID) -> int:
    async with transaction(queue.payment, user) as session:
        return await available_credits(session, user)


async def test_a_dead_workers_job_is_queued_again(queue: Queue, sweeper: Sweeper) -> None:
    user = uuid4()
    job_id = await queue.enter(user)
    await queue.claim()
    await recover_lost_jobs(sweeper)
    assert (await queue.read(user, job_id)).state == "running"
    await lose_worker(queue.workers, job_id)
    await recover_lost_jobs(sweeper)
    job = await queue.read(user, job_id)
    assert (job.state, job.failures) == ("queued", 1)
    again = await queue.claim()
    assert again is not None and again.attempt == 2


async def test_a_job_that_kills_its_workers_is_given_up_and_refunded(
    queue: Queue, sweeper: Sweeper, sessions: Callable[[str], Sessions]
) -> None:
    user = uuid4()
    job_id = await queue.enter(user)
    for _ in range(MAX_FAILURES):
        assert await queue.claim() is not None
        await lose_worker(queue.workers, job_id)
        await recover_lost_jobs(sweeper)
    job = await queue.read(user, job_id)
    assert (job.state, job.captured_millicredits) == ("failed", 0)
    assert job.error is not None and job.error["slug"] == "worker-lost"
    assert await available(queue, user) == PRICE
    async with sessions("admin")() as session:
        assert await ledger_check(session) == []


async def test_a_deadline_that_passes_costs_nothing(queue: Queue, sweeper: Sweeper) -> None:
    user = uuid4()
    job_id = await queue.enter(user, expires_in=timedelta(seconds=-1))
    patient = await queue.enter(user, expires_in=timedelta(hours=1))
    await expire_jobs(sweeper)
    assert (await queue.read(user, job_id)).state == "expired"
    assert (await queue.read(user, patient)).state == "queued"
    assert await available(queue, user) == PRICE


async def test_a_job_that_was_being_drawn_is_not_given_up_for_waiting(
    queue: Queue, sweeper: Sweeper
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, expires_in=timedelta(hours=1))
    assert await queue.claim() is not None
    await lose_worker(queue.workers, job_id)
    await recover_lost_jobs(sweeper)
    job = await queue.read(user, job_id)
    assert (job.state, job.expires_at) == ("queued", None)


async def test_lost_wake_ups_are_issued_again_and_not_piled_up(
    queue: Queue, sweeper: Sweeper
) -> None:
    for _ in range(3):
        await queue.enter(uuid4())
    for _ in range(2):
        await wake_workers(sweeper)
        assert await cast(Awaitable[int], sweeper.redis.llen("gpu-standard")) == 3


async def test_every_ending_tells_the_owner(
    queue: Queue, sweeper: Sweeper, sessions: Callable[[str], Sessions]
) -> None:
    await queue.enter(uuid4(), expires_in=timedelta(seconds=-1))
    await expire_jobs(sweeper)
    query = text("SELECT name, payload -> 'data' ->> 'status' FROM ops.outbox")
    async with sessions("admin")() as session:
        assert (await session.execute(query)).all() == [("job.finished", "expired")]
