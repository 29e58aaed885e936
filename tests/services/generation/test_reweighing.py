"""A change of tier reaches what waits: by the outbox, Celery and one transaction of a worker."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import pytest
from celery import Celery
from redis.asyncio import Redis
from sqlalchemy import text

from dev.parts.program import LOOPBACK, Program, answers_http, free_port
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.jobs.celery_app import build_celery
from libs.jobs.relay import Relay, relay_batch
from libs.testkit.postgres import Database
from libs.testkit.running import running
from libs.tiers.catalogue import TierName
from services.generation import worker
from services.generation.attempts import WORKER_STOPS
from services.generation.client.tier_changes import (
    REWEIGH,
    UPKEEP_QUEUE,
    announce_tier_change,
)
from services.generation.models import Job
from services.generation.repository.jobs import lock_admission
from services.generation.service.endings import hand_back_job
from services.generation.service.reweighing import reweigh_jobs
from services.generation.tasks import register_wake_up
from services.generation.wake_ups import WAKE_UP
from tests.services.generation.queue_of_jobs import Queue

SessionsOf = Callable[[str], Sessions]
SET_TIER = text(
    "INSERT INTO ops.entitlements (user_id, tier) VALUES (:user, :tier)"
    " ON CONFLICT (user_id) DO UPDATE SET tier = excluded.tier"
)
MESSAGES = text("SELECT name, payload ->> 'queue' FROM ops.outbox WHERE kind = 'task'")


async def set_tier(queue: Queue, user: UUID, tier: TierName, *, announce: bool = False) -> None:
    """What billing does in one transaction."""
    async with transaction(queue.payment, user) as session:
        await session.execute(SET_TIER, {"user": user, "tier": tier})
        if announce:
            await announce_tier_change(session, user)


async def reweigh(queue: Queue, user: UUID) -> int:
    async with transaction(queue.workers, user) as session:
        return await reweigh_jobs(session, user)


async def eventually(question: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(400):
        if await question():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not within 20 seconds")


async def place(queue: Queue, user: UUID, job_id: UUID) -> tuple[str, str]:
    job = await queue.read(user, job_id)
    return job.tier, job.pool


@pytest.fixture
async def messages(sessions: SessionsOf) -> AsyncIterator[Callable[[], Awaitable[list[object]]]]:
    """The Celery messages that wait in the outbox: name and queue."""

    async def read() -> list[object]:
        async with sessions("admin")() as session:
            return [tuple(row) for row in (await session.execute(MESSAGES)).all()]

    yield read


async def test_waiting_jobs_move_to_the_new_tier_and_its_pool_and_workers_are_woken(
    queue: Queue, messages: Callable[[], Awaitable[list[object]]]
) -> None:
    ada, eve = uuid4(), uuid4()
    running = await queue.enter(ada)
    assert (await queue.claim()) is not None
    waiting = [await queue.enter(ada) for _ in range(4)]
    others = await queue.enter(eve)
    await set_tier(queue, ada, "studio")
    assert await reweigh(queue, ada) == 4
    assert {await place(queue, ada, job_id) for job_id in waiting} == {("studio", "premium")}
    assert await place(queue, ada, running) == ("free", "standard")
    assert await place(queue, eve, others) == ("free", "standard")
    # a studio user has three jobs running at once
    assert await messages() == [(WAKE_UP, "gpu-premium")] * 3


async def test_saying_it_twice_changes_nothing(
    queue: Queue, messages: Callable[[], Awaitable[list[object]]]
) -> None:
    ada = uuid4()
    await queue.enter(ada)
    await set_tier(queue, ada, "pro")
    assert [await reweigh(queue, ada) for _ in range(3)] == [1, 0, 0]
    assert await messages() == [(WAKE_UP, "gpu-standard")]


async def test_who_falls_back_to_free_waits_as_free(queue: Queue) -> None:
    ada = uuid4()
    job_id = await queue.enter(ada, tier="pro")
    assert await reweigh(queue, ada) == 1  # no entitlement: the free tier
    assert await place(queue, ada, job_id) == ("free", "standard")


async def test_the_heavier_tier_is_served_first_from_then_on(queue: Queue) -> None:
    ada, eve = uuid4(), uuid4()
    for user in (eve, ada):
        for _ in range(3):
            await queue.enter(user, price=10_000)
    await set_tier(queue, ada, "pro")
    await reweigh(queue, ada)
    served = []
    for _ in range(4):
        job = await queue.claim()
        assert job is not None
        await queue.finish(job)
        served.append(job.user_id)
    # free has weight 10, pro 50: pro goes first at a tie, and is due five times as often
    assert served == [ada, eve, ada, ada]


async def test_a_request_that_saw_the_old_tier_is_waited_for(queue: Queue) -> None:
    ada = uuid4()
    accepted = asyncio.Event()
    waiting = await queue.enter(ada)

    async def accept_slowly() -> None:
        async with transaction(queue.api, ada) as session:
            await lock_admission(session, ada)
            job = await session.get_one(Job, waiting)
            assert job.tier == "free"
            accepted.set()
            await asyncio.sleep(0.3)

    request = asyncio.create_task(accept_slowly())
    await accepted.wait()
    await set_tier(queue, ada, "starter")
    change = asyncio.create_task(reweigh(queue, ada))
    await asyncio.sleep(0.1)
    assert not change.done()
    await request
    assert await change == 1


async def test_a_job_that_goes_back_to_the_queue_asks_for_its_owners_tier_of_then(
    queue: Queue, messages: Callable[[], Awaitable[list[object]]]
) -> None:
    ada = uuid4()
    await queue.enter(ada)
    job = await queue.claim()
    assert job is not None
    async with transaction(queue.workers, ada) as session:
        await hand_back_job(session, job, WORKER_STOPS)
    assert await messages() == [(REWEIGH, UPKEEP_QUEUE)]


@pytest.fixture
def celery(redis: Redis, redis_url: str) -> Celery:
    return build_celery(redis_url)


@pytest.fixture
def worker_process(
    database: Database, redis: Redis, redis_url: str, tmp_path: Path
) -> Iterator[None]:
    """The real worker, with no Triton to draw by."""
    port = free_port()
    settings = {
        "EASEL_DATABASE_URL": database.url("worker"),
        "EASEL_REDIS_URL": redis_url,
        "EASEL_METRICS_PORT": str(port),
        "EASEL_TRITON_GRPC_URL": f"{LOOPBACK}:9",
        "EASEL_S3_BUCKET_IMAGES": "none",
        "EASEL_S3_REGION": "none",
    }
    program = Program(
        name="worker",
        argv=[sys.executable, "-m", worker.__name__],
        env=settings,
        ports=[port],
        ready=lambda: answers_http(f"http://{LOOPBACK}:{port}/metrics"),
    )
    with running(program, tmp_path):
        yield


async def test_an_announcement_travels_with_its_commit_through_the_relay_to_a_worker(
    queue: Queue, redis: Redis, celery: Celery, worker_process: None
) -> None:
    ada, relay = uuid4(), Relay(queue.relay, redis, celery)
    job_id = await queue.enter(ada)
    with pytest.raises(ZeroDivisionError):
        async with transaction(queue.payment, ada) as session:
            await announce_tier_change(session, ada)
            raise ZeroDivisionError
    assert await relay_batch(relay) is False  # what rolled back was never said
    for _ in range(2):  # at least once: a message may come twice
        await set_tier(queue, ada, "studio", announce=True)
    await relay_batch(relay)

    async def moved() -> bool:
        return await place(queue, ada, job_id) == ("studio", "premium")

    await eventually(moved)


async def length(redis: Redis, name: str) -> int:
    return await cast(Awaitable[int], redis.llen(name))


async def test_a_busy_worker_passes_its_wake_up_on_when_its_turn_is_over(
    redis: Redis, celery: Celery
) -> None:
    turns = iter(["premium", None])
    register_wake_up(celery, lambda: next(turns))
    await asyncio.to_thread(celery.tasks[WAKE_UP].apply)
    assert await length(redis, "gpu-premium") == 1
    assert next(turns) is None  # the second turn is left to whoever takes the message


async def test_with_the_broker_away_the_work_goes_on() -> None:
    celery = build_celery("redis://127.0.0.1:9/0")
    turns = iter(["premium", "premium", None, "never"])
    register_wake_up(celery, lambda: next(turns))
    await asyncio.to_thread(celery.tasks[WAKE_UP].apply)
    assert next(turns) == "never"
