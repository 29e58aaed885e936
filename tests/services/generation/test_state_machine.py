"""Random lives of jobs on real PostgreSQL beside a model: claims, renewals, deaths, races.

After each step: a place's head is its oldest due job, leases are what runs, a job that has ended
stays as it is, is settled once and charged what it says, and the ledger balances.
"""

import asyncio
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis

from libs.db.engine import build_engine, build_sessions
from libs.db.transaction import transaction
from libs.jobs.celery_app import build_celery
from libs.kernel.clock import utc_now
from libs.testkit.postgres import Database
from services.generation.service import owner
from services.generation.sweeper import Sweeper
from tests.services.generation.job_machine import JobMachine
from tests.services.generation.queue_of_jobs import Queue

NOWHERE = "redis://127.0.0.1:9/0"  # what is tested here sends nothing


@pytest.fixture
def machine(database: Database) -> Iterator[type[JobMachine]]:
    """The machine on a database and a loop of its own."""
    roles = ("generation", "worker", "relay", "billing")
    urls = [*map(database.url, roles), database.admin_url]
    with asyncio.Runner() as runner:
        engines = [build_engine(url, application="test-machine") for url in urls]
        pools = [build_sessions(engine) for engine in engines]
        JobMachine.runner, JobMachine.admin = runner, pools[-1]
        JobMachine.queue = Queue(*pools[:4])
        redis = Redis.from_url(NOWHERE)
        JobMachine.sweeper = Sweeper(pools[2], redis, build_celery(NOWHERE))
        yield JobMachine
        for engine in engines:
            runner.run(engine.dispose())


def test_jobs_live_as_their_model_says(machine: type[JobMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


async def test_two_that_leave_the_queue_at_once_leave_no_dead_head(queue: Queue) -> None:
    user, engine = uuid4(), queue.api
    first, second, third = [await queue.enter(user) for _ in range(3)]
    async with transaction(engine, user) as one:
        await owner.cancel_generation(one, first, clock=utc_now)
        await one.flush()
        other = asyncio.create_task(cancel(queue, user, second))
        await asyncio.sleep(0.3)
    await other
    claimed = await queue.claim()
    assert claimed is not None and claimed.id == third


async def cancel(queue: Queue, user: UUID, job: UUID) -> None:
    async with transaction(queue.api, user) as session:
        await owner.cancel_generation(session, job, clock=utc_now)
