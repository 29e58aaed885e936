"""Erasing a user's jobs: they end first, are settled, and then nothing is left of them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.events.connection import build_redis
from libs.events.streams import job_stream, user_stream
from libs.jobs.celery_app import build_celery
from libs.jobs.relay import Relay, relay_batch
from libs.kernel.clock import utc_now
from libs.kernel.problems import ServiceUnavailable
from libs.privacy.owners import Owner
from libs.testkit.tokens import TokenIssuer
from services.generation.attempts import WORKER_STOPS
from services.generation.models import Job
from services.generation.service.endings import finish_job, hand_back_job
from services.generation.service.erasure import erase_user
from tests.services.callers import Caller, new_caller
from tests.services.generation.queue_of_jobs import Queue, give_credits, lose_worker
from tests.services.owners import exported, owner_of

SessionsOf = Callable[[str], Sessions]
BODY = {"model": "demo", "prompt": "a red apple", "width": 64, "height": 64, "metadata": {"a": "b"}}
LEFT = """
    SELECT (SELECT count(*) FROM generation.jobs WHERE user_id = :user)
        + (SELECT count(*) FROM generation.flows WHERE user_id = :user)
        + (SELECT count(*) FROM credits.holds WHERE user_id = :user)
        + (SELECT count(*) FROM ops.outbox
            WHERE payload::text LIKE '%' || CAST(CAST(:user AS uuid) AS text) || '%')
"""


@pytest.fixture
def owner(api: httpx.AsyncClient, issuer: TokenIssuer) -> Owner:
    return owner_of(api, issuer, "generation")


@pytest.fixture
def relay(sessions: SessionsOf, redis: Redis, redis_url: str) -> Relay:
    return Relay(sessions("relay"), redis, build_celery(redis_url))


@pytest.fixture
async def eve(api: httpx.AsyncClient, issuer: TokenIssuer, sessions: SessionsOf) -> Caller:
    """Somebody else."""
    customer = new_caller(api, issuer)
    await give_credits(sessions("billing"), customer.id, 500_000)
    return customer


async def create(caller: Caller) -> UUID:
    answer = await caller.post("/api/v1/generations", BODY)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["id"])


async def left(sessions: SessionsOf, user_id: UUID) -> int:
    async with sessions("admin")() as session:
        return int(await session.scalar(text(LEFT), {"user": user_id}) or 0)


async def assert_balanced(sessions: SessionsOf) -> None:
    async with sessions("billing")() as session:
        assert await ledger_check(session) == []


async def close(queue: Queue, job: Job, **outcome: Any) -> None:
    """A worker writes the end of its attempt."""
    async with transaction(queue.workers, job.user_id) as session:
        await finish_job(session, job, "cancelled", **outcome)


async def test_jobs_are_exported_without_what_is_ours(
    ada: Caller, eve: Caller, owner: Owner
) -> None:
    job = await create(ada)
    await create(eve)
    (row,) = (await exported(owner, ada.id))["jobs"]
    assert (row["id"], row["request"]["prompt"]) == (str(job), "a red apple")
    assert row["request"]["metadata"] == {"a": "b"}
    assert "worker" not in row


async def test_what_waits_is_cancelled_free_of_charge_and_then_gone(
    ada: Caller, owner: Owner, relay: Relay, redis: Redis, sessions: SessionsOf
) -> None:
    job = await create(ada)
    await relay_batch(relay)
    assert await redis.exists(job_stream(job))
    assert await owner.erase(ada.id) == "running jobs"
    assert await owner.erase(ada.id) == "events that are being sent"
    await relay_batch(relay)
    assert await owner.erase(ada.id) is None
    assert await redis.keys("events:*") == []
    assert await left(sessions, ada.id) == 0
    assert await owner.erase(ada.id) is None
    await assert_balanced(sessions)


async def test_what_runs_is_settled_by_its_worker_first(
    ada: Caller, owner: Owner, relay: Relay, queue: Queue, sessions: SessionsOf
) -> None:
    await create(ada)
    running = await queue.claim()
    assert running is not None
    for _ in range(2):
        assert await owner.erase(ada.id) == "running jobs"
    await close(queue, running, captured=400)
    await relay_batch(relay)
    assert await owner.erase(ada.id) is None
    assert await left(sessions, ada.id) == 0
    await assert_balanced(sessions)
    async with sessions("admin")() as session:
        captured = "SELECT sum(amount) FROM credits.transfers WHERE kind = 'capture'"
        assert await session.scalar(text(captured)) == 400


async def test_a_job_whose_worker_died_ends_with_its_lease(
    ada: Caller, owner: Owner, relay: Relay, queue: Queue, sessions: SessionsOf
) -> None:
    await create(ada)
    running = await queue.claim()
    assert running is not None
    assert await owner.erase(ada.id) == "running jobs"
    await lose_worker(sessions("admin"), running.id)
    async with transaction(queue.relay, ada.id) as session:
        await hand_back_job(session, running, WORKER_STOPS)  # as the sweeper does
    await relay_batch(relay)
    assert await owner.erase(ada.id) is None
    assert await left(sessions, ada.id) == 0
    await assert_balanced(sessions)


async def test_another_users_jobs_and_streams_stay(
    ada: Caller, eve: Caller, owner: Owner, relay: Relay, redis: Redis, sessions: SessionsOf
) -> None:
    await create(ada)
    hers = await create(eve)
    while await owner.erase(ada.id) is not None:
        await relay_batch(relay)
    assert set(await redis.keys("events:*")) == {job_stream(hers), user_stream(eve.id)}
    (row,) = (await exported(owner, eve.id))["jobs"]
    assert (row["id"], row["state"]) == (str(hers), "queued")
    await assert_balanced(sessions)


async def test_nothing_is_forgotten_while_redis_is_away(
    ada: Caller, api: httpx.AsyncClient, issuer: TokenIssuer, relay: Relay, sessions: SessionsOf
) -> None:
    """A stream whose job is forgotten would be found by nobody."""
    owner = owner_of(api, issuer, "generation")
    await create(ada)
    assert await owner.erase(ada.id) == "running jobs"
    await relay_batch(relay)
    away = build_redis("redis://127.0.0.1:9/0")
    with pytest.raises(ServiceUnavailable):
        await erase_user(sessions("generation"), away, ada.id, clock=utc_now)
    assert len((await exported(owner, ada.id))["jobs"]) == 1
