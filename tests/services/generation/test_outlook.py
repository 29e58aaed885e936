"""The relay's look at the whole queue, on real PostgreSQL, beside the same queue in memory."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.kernel.clock import utc_now
from libs.tiers.catalogue import TierName, load_catalogue
from libs.tiers.fair_queue import FairQueue
from libs.tiers.fair_rules import QueuedJob
from libs.tiers.pool_loads import load_of_queue
from services.generation.models import Job
from services.generation.repository import outlooks, workers
from services.generation.repository.jobs import read_own_jobs
from services.generation.service.outlook_round import Outlooker
from services.generation.service.waits import estimate_jobs
from services.generation.waiting import RULES, QueueOutlook
from tests.services.generation.queue_of_jobs import Queue

SessionsOf = Callable[[str], Sessions]


async def look(queue: Queue) -> QueueOutlook:
    await Outlooker(queue.relay, utc_now).look()
    async with queue.api() as session:
        return await outlooks.read_outlook(session)


async def serve(queue: Queue, pools: list[str], slots: int) -> None:
    async with queue.workers.begin() as session:
        await workers.say_present(session, uuid4().hex, pools=pools, slots=slots, models=[])


async def claim(queue: Queue, mirror: FairQueue) -> Job:
    """Claim in the database and in memory: the same job."""
    job, mirrored = await queue.claim(), mirror.choose(0.0)
    assert job is not None and mirrored is not None and str(job.id) == mirrored.id
    return job


async def test_it_sees_the_queue_as_it_would_be_in_memory(queue: Queue) -> None:
    mirror = FairQueue([RULES["free"], RULES["pro"]], Counter())
    ada, eve, joe, pro = (uuid4() for _ in range(4))
    wishes = [(ada, 2_000)] * 5 + [(eve, 7_000)] * 2 + [(joe, 3_000)] + [(pro, 9_000)] * 3
    for user, price in wishes:
        tier: TierName = "pro" if user == pro else "free"
        job_id = await queue.enter(user, tier=tier, price=price)
        mirror.enter(QueuedJob(str(job_id), str(user), tier, "demo", price, 0.0))
    running = [await claim(queue, mirror) for _ in range(3)]
    await serve(queue, ["standard"], 3)
    seen = await look(queue)
    for name in ("free", "pro"):
        expected = load_of_queue(mirror.tiers[name], mirror.in_flight, arrivals=0, newcomers=0)
        facts = seen.facts_of(name)
        assert (facts.waiting, facts.waiting_cost) == (expected.waiting, expected.waiting_cost)
        assert facts.ready == expected.ready
        assert facts.ahead == pytest.approx(expected.ahead)
    pool = seen.pools["standard"]
    assert (pool.slots, pool.running) == (3, 3)
    assert pool.running_cost == sum(job.quoted_millicredits for job in running)
    mirror.set_shares(3, 0.0)
    assert seen.shares["free"] == pytest.approx(mirror.tiers["free"].share)
    assert seen.shares["pro"] == pytest.approx(mirror.tiers["pro"].share)


async def test_each_waiting_job_is_told_when_it_starts(queue: Queue) -> None:
    ada, eve = uuid4(), uuid4()
    for _ in range(4):
        await queue.enter(eve, price=10_000)
    assert await queue.claim() is not None
    mine = [await queue.enter(ada, price=10_000) for _ in range(3)]
    await serve(queue, ["standard"], 1)
    seen = await look(queue)
    async with queue.api.begin() as session:
        await session.execute(text("SELECT set_config('app.user_id', :u, true)"), {"u": str(ada)})
        own = await read_own_jobs(session, ada)
    told = estimate_jobs(seen, own)
    assert list(told) == mine and (own.running, len(own.waiting)) == (0, 3)
    # a job of ten seconds runs and has five left; then ada and eve take turns
    assert [wait.p50_seconds for wait in told.values()] == pytest.approx([5, 25, 45], abs=6)
    assert [wait.position for wait in told.values()] == pytest.approx([1, 3, 5], abs=1)
    assert told[mine[0]].finish_p50_seconds == told[mine[0]].p50_seconds + 10


async def test_shared_workers_help_when_their_own_pool_has_nothing(queue: Queue) -> None:
    await serve(queue, ["premium", "standard"], 4)
    seen = await look(queue)
    assert (seen.pools["premium"].slots, seen.pools["standard"].slots) == (4, 0)
    assert (seen.pools["standard"].helping_slots, seen.pools["standard"].help_after) == (4, 0)


async def test_who_is_gone_serves_nobody_and_an_unserved_pool_counts_as_one_slot(
    queue: Queue, sessions: SessionsOf
) -> None:
    await serve(queue, ["standard"], 8)
    async with sessions("admin").begin() as session:
        await session.execute(
            text("UPDATE generation.workers SET seen_at = now() - interval '1 min'")
        )
    seen = await look(queue)
    assert (seen.pools["standard"].slots, seen.pools["standard"].helping_slots) == (1, 0)


async def test_speed_service_and_trust_are_measured_on_jobs_that_ended(
    queue: Queue, sessions: SessionsOf
) -> None:
    user = uuid4()
    for number in range(40):
        await finish_as_told(queue, sessions, user, waited=10.0 + number, seconds=8.0)
    seen = await look(queue)
    facts = seen.facts_of("pro")
    assert seen.pools["standard"].speed == pytest.approx(0.002)
    assert facts.services["demo"] == pytest.approx((0.002, 0.002))
    assert facts.kept == pytest.approx(11 / 40)  # waits of up to 20 s, as was told
    # reckoned were 9 s: waits of 30 s in the middle are three times as long
    assert facts.factors[0] == pytest.approx(3.0, abs=0.2)
    assert facts.factors[1] > 4.5
    assert load_catalogue().tier("pro").gpu_pool == "standard"


async def finish_as_told(
    queue: Queue, sessions: SessionsOf, user: UUID, *, waited: float, seconds: float
) -> None:
    """A job of 4 credits that was told nine of ten such start within 20 seconds."""
    await queue.enter(user, tier="pro", price=4_000)
    job = await queue.claim()
    assert job is not None
    await queue.finish(job)
    started = job.created_at + timedelta(seconds=waited)
    async with sessions("admin").begin() as session:
        await session.execute(
            text(
                "UPDATE generation.jobs SET started_at = :started, finished_at = :finished,"
                """ estimate = '{"reckoned": 9.0, "p90_seconds": 20.0, "virtual_start": 0}'"""
                " WHERE id = :id"
            ),
            {
                "id": job.id,
                "started": started,
                "finished": started + timedelta(seconds=seconds),
            },
        )
