"""Claims by fair order, leases and fencing, on real PostgreSQL."""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest

from libs.db.transaction import transaction
from services.generation.models import Job
from services.generation.repository import leases
from tests.services.generation.queue_of_jobs import PRICE, Queue


async def serve(queue: Queue, count: int) -> list[Job]:
    """Claim and finish jobs one after another."""
    served = []
    for _ in range(count):
        job = await queue.claim()
        assert job is not None
        await queue.finish(job)
        served.append(job)
    return served


async def test_a_job_is_claimed_once_however_many_workers_ask(queue: Queue) -> None:
    job_id = await queue.enter(uuid4())
    claims = await asyncio.gather(*(queue.claim() for _ in range(8)))
    assert [job.id for job in claims if job is not None] == [job_id]


async def test_a_user_over_the_running_limit_waits(queue: Queue) -> None:
    user = uuid4()
    first, second = await queue.enter(user), await queue.enter(user)
    running = await queue.claim()
    assert running is not None and running.id == first
    assert await queue.claim() is None
    await queue.finish(running)
    claimed = await queue.claim()
    assert claimed is not None and claimed.id == second


async def test_users_of_a_tier_take_turns_whatever_they_have_queued(queue: Queue) -> None:
    greedy, modest = uuid4(), uuid4()
    for _ in range(6):
        await queue.enter(greedy)
    for _ in range(3):
        await queue.enter(modest)
    served = [job.user_id for job in await serve(queue, 6)]
    assert Counter(served) == {greedy: 3, modest: 3}


async def test_tiers_share_by_weight_and_none_starves(queue: Queue) -> None:
    free, pro = uuid4(), uuid4()
    for _ in range(18):
        await queue.enter(free, tier="free")
        await queue.enter(pro, tier="pro")
    served = [job.tier for job in await serve(queue, 18)]
    assert Counter(served) == {"pro": 15, "free": 3}  # weights 50 and 10


async def test_a_long_idle_user_saves_up_no_credit(queue: Queue) -> None:
    busy, idle = uuid4(), uuid4()
    for _ in range(8):
        await queue.enter(busy)
    await serve(queue, 4)
    for _ in range(4):
        await queue.enter(idle)
    served = [job.user_id for job in await serve(queue, 4)]
    assert Counter(served) == {busy: 2, idle: 2}


async def test_a_job_past_its_deadline_is_not_claimed(queue: Queue) -> None:
    await queue.enter(uuid4(), expires_in=timedelta(seconds=-1))
    assert await queue.claim() is None


async def test_an_older_attempt_can_write_nothing(queue: Queue) -> None:
    user = uuid4()
    job_id = await queue.enter(user)
    old = await queue.claim()
    assert old is not None
    async with queue.workers.begin() as session:
        claim = leases.claim_of(old)
        await leases.hand_back(session, claim, reason="test", delay_seconds=0, failures=1)
    new = await queue.claim()
    assert new is not None and (new.id, new.attempt) == (job_id, old.attempt + 1)
    async with transaction(queue.workers, user) as session:
        with pytest.raises(leases.LeaseLost):
            await leases.renew(session, claim)
        with pytest.raises(leases.LeaseLost):
            await leases.hand_back(session, claim, reason="late", delay_seconds=0, failures=0)
        with pytest.raises(leases.LeaseLost):
            await leases.finish(
                session, claim, state="succeeded", captured=PRICE, images_done=1, error=None
            )
    job = await queue.read(user, job_id)
    assert (job.state, job.attempt) == ("running", 2)


async def test_a_rested_job_is_claimed_only_when_it_is_due(queue: Queue) -> None:
    await queue.enter(uuid4())
    job = await queue.claim()
    assert job is not None
    async with queue.workers.begin() as session:
        claim = leases.claim_of(job)
        await leases.hand_back(session, claim, reason="test", delay_seconds=60, failures=0)
    assert await queue.claim() is None
