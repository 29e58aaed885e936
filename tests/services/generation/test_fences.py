"""Whose job it is: leases are kept while a worker draws, and who has lost one writes nothing."""

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from libs.credits.ledger import available_credits
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.jobs.celery_app import build_celery
from libs.kernel.clock import utc_now
from libs.storage.objects import ObjectStore
from services.generation.repository import leases
from services.generation.service import owner
from services.generation.service.drawing import Studio
from services.generation.service.execution import RENEW_SECONDS, Worker, attempt_job, claim_job
from services.generation.sweeper import Sweeper, recover_lost_jobs
from tests.faults.quick_engine import STEP_SECONDS, QuickEngine
from tests.services.generation.queue_of_jobs import PRICE, REQUEST, Queue

STEPS = 100
LONG = {**REQUEST, "steps": STEPS}
assert STEPS * STEP_SECONDS > 1.5 * RENEW_SECONDS
NEARLY_OVER = text(
    "UPDATE generation.leases SET until = now() + make_interval(secs => :seconds)"
    " WHERE job_id = :id RETURNING until"
)
UNTIL = text("SELECT until FROM generation.leases WHERE job_id = :id")
# What a crash of the server leaves of a claim whose commit it lost.
FORGET_LEASE = text("UPDATE generation.jobs SET state = 'queued', worker = NULL WHERE id = :id")
FORGET_ATTEMPT = text("UPDATE generation.jobs SET attempt = 0 WHERE id = :id")


@pytest.fixture
def worker(queue: Queue, redis: Redis, store: ObjectStore) -> Worker:
    """A worker with a quick engine."""
    studio = Studio(QuickEngine("127.0.0.1:9"), store, redis)
    return Worker(
        name="test",
        pools=("standard",),
        slots=1,
        sessions=queue.workers,
        studio=studio,
        stopping=asyncio.Event(),
    )


async def available(queue: Queue, user: UUID) -> int:
    async with transaction(queue.payment, user) as session:
        return await available_credits(session, user)


async def test_a_renewal_moves_the_end_of_a_lease(queue: Queue) -> None:
    job_id = await queue.enter(uuid4())
    job = await queue.claim()
    assert job is not None
    async with queue.workers.begin() as session:
        end = await session.scalar(NEARLY_OVER, {"seconds": 1, "id": job_id})
    async with queue.workers.begin() as session:
        assert not await leases.renew(session, leases.claim_of(job))
    async with queue.workers.begin() as session:
        renewed = await session.scalar(UNTIL, {"id": job_id})
    assert (renewed - end).total_seconds() > leases.LEASE_SECONDS - 2


async def test_a_lease_is_kept_while_its_worker_draws(
    queue: Queue, worker: Worker, redis: Redis, redis_url: str
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request=LONG)
    job = await claim_job(worker)
    assert job is not None
    async with queue.workers.begin() as session:
        await session.execute(NEARLY_OVER, {"seconds": 1.3 * RENEW_SECONDS, "id": job_id})
    drawing = asyncio.create_task(attempt_job(worker, job))
    await asyncio.sleep(1.5 * RENEW_SECONDS)
    await recover_lost_jobs(Sweeper(queue.relay, redis, build_celery(redis_url)))
    await drawing
    ended = await queue.read(user, job_id)
    assert (ended.state, ended.attempt, ended.failures) == ("succeeded", 1, 0)


async def test_a_worker_whose_claim_a_crash_forgot_writes_nothing(
    queue: Queue, sessions: Callable[[str], Sessions]
) -> None:
    """Its attempt has the number of the next one; the worker's name tells them apart."""
    user = uuid4()
    job_id = await queue.enter(user)
    async with queue.workers.begin() as session:
        forgotten = await leases.claim_next(session, pool="standard", worker="one")
    assert forgotten is not None
    async with sessions("admin").begin() as session:
        await session.execute(FORGET_LEASE, {"id": job_id})
        await session.execute(FORGET_ATTEMPT, {"id": job_id})
    async with queue.workers.begin() as session:
        current = await leases.claim_next(session, pool="standard", worker="two")
    assert current is not None and current.attempt == forgotten.attempt
    claim = leases.claim_of(forgotten)
    async with transaction(queue.workers, user) as session:
        with pytest.raises(leases.LeaseLost):
            await leases.renew(session, claim)
        with pytest.raises(leases.LeaseLost):
            await leases.finish(
                session, claim, state="succeeded", captured=0, images_done=0, error=None
            )
    assert (await queue.read(user, job_id)).worker == "two"


async def test_a_cancelled_job_gives_its_credits_back(queue: Queue) -> None:
    user = uuid4()
    job_id = await queue.enter(user)
    assert await available(queue, user) == 0
    async with transaction(queue.api, user) as session:
        await owner.cancel_generation(session, job_id, clock=utc_now)
    assert await available(queue, user) == PRICE


async def test_a_cancel_ends_a_drawing_and_charges_the_steps_done(
    queue: Queue, worker: Worker
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request=LONG, price=8_000)
    job = await claim_job(worker)
    assert job is not None
    async with transaction(queue.api, user) as session:
        await owner.cancel_generation(session, job_id, clock=utc_now)
    await attempt_job(worker, job)
    ended = await queue.read(user, job_id)
    assert ended.state == "cancelled"
    assert ended.captured_millicredits is not None and 0 < ended.captured_millicredits < 8_000
    assert await available(queue, user) == 8_000 - ended.captured_millicredits
