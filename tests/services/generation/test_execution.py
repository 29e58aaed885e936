"""Attempts of a worker on real PostgreSQL, Redis, S3 and Triton."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.events.streams import FIRST, job_stream, read_events
from libs.kernel.clock import utc_now
from libs.storage.objects import ObjectStore, StorageSettings
from libs.testkit.triton import TritonServer
from libs.triton.client import TritonClient
from services.generation.attempts import MAX_FAILURES, WORKER_STOPS
from services.generation.model_files import publish_model
from services.generation.models import Job
from services.generation.repository import leases
from services.generation.service import owner
from services.generation.service.drawing import Studio
from services.generation.service.endings import hand_back_job
from services.generation.service.execution import (
    Worker,
    attempt_job,
    claim_job,
    work_until_idle,
)
from services.generation.service.model_folders import ModelFolders
from services.generation.timeline import show_timeline
from tests.services.generation.queue_of_jobs import REQUEST, Queue, SessionsOf, lose_worker

TINY = {**REQUEST, "model": "tiny", "steps": 6}
LONG = {**TINY, "steps": 150, "num_images": 8}
NOWHERE = StorageSettings("eu-west-1", "none", "http://127.0.0.1:9", None, "a", "b")


@pytest.fixture
async def worker(
    queue: Queue, redis: Redis, store: ObjectStore, triton_server: TritonServer
) -> AsyncIterator[Worker]:
    triton: TritonClient = triton_server.client()
    yield Worker(
        "test", ("standard",), 1, queue.workers, Studio(triton, store, redis), asyncio.Event()
    )
    await triton.close()


async def claimed(worker: Worker) -> Job:
    job = await claim_job(worker)
    assert job is not None
    return job


async def assert_settled(sessions: Callable[[str], Sessions]) -> None:
    async with sessions("admin")() as session:
        assert await ledger_check(session) == []
        open_holds = "SELECT count(*) FROM credits.holds"
        assert await session.scalar(text(open_holds)) == 0


async def request_cancel(queue: Queue, user: UUID, job_id: UUID) -> None:
    async with transaction(queue.api, user) as session:
        job = await owner.cancel_generation(session, job_id, clock=utc_now)
    assert job.state == "running"


async def wait_for_progress(redis: Redis, job_id: UUID) -> None:
    seen, after = False, FIRST
    async with asyncio.timeout(20):
        while not seen:
            entries = await read_events(redis, job_stream(job_id), after, wait_seconds=1)
            after = entries[-1][0] if entries else after
            seen = any(event.topic == "job.progressed" for _, event in entries)


async def test_a_job_ends_with_its_pictures_stored_and_paid(
    queue: Queue, worker: Worker, store: ObjectStore, sessions: Callable[[str], Sessions]
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request={**TINY, "num_images": 2}, price=2_000)
    await work_until_idle(worker)
    job = await queue.read(user, job_id)
    assert (job.state, job.images_done, job.captured_millicredits) == ("succeeded", 2, 2_000)
    timeline = show_timeline(job, utc_now())
    parts = [part.name for part in timeline.segments if part.name not in ("model_load", "claimed")]
    assert parts == ["queued", *["steps", "decode", "upload"] * 2, "settle"]
    assert [part.millicredits for part in timeline.segments if part.name == "steps"] == [1_000] * 2
    assert sum(part.microseconds for part in timeline.segments) == timeline.total_microseconds
    async with sessions("admin")() as session:
        rows = (await session.execute(text("SELECT * FROM gallery.images ORDER BY seed"))).all()
    assert [row.seed for row in rows] == [7, 8]
    for row in rows:
        assert (await store.get(row.object_key)).startswith(b"\x89PNG")
        assert row.object_key.startswith(f"{user}/{job.created_at:%Y/%m}/")
    await assert_settled(sessions)


async def test_a_cancel_in_mid_run_charges_the_steps_done(
    queue: Queue, worker: Worker, redis: Redis, sessions: Callable[[str], Sessions]
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request=LONG, price=8_000)
    work = asyncio.create_task(attempt_job(worker, await claimed(worker)))
    await wait_for_progress(redis, job_id)
    await request_cancel(queue, user, job_id)
    async with asyncio.timeout(10):
        await work
    job = await queue.read(user, job_id)
    assert job.state == "cancelled"
    assert job.captured_millicredits is not None and 0 < job.captured_millicredits < 8_000
    await assert_settled(sessions)


async def test_a_worker_that_lost_its_lease_writes_nothing(
    queue: Queue, worker: Worker, redis: Redis
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request=LONG, price=8_000)
    work = asyncio.create_task(attempt_job(worker, await claimed(worker)))
    await wait_for_progress(redis, job_id)
    async with queue.workers.begin() as session:
        claim = leases.claim_of(await session.get_one(Job, job_id))
        await leases.hand_back(session, claim, reason="test", delay_seconds=60, failures=1)
    async with asyncio.timeout(10):
        await work
    job = await queue.read(user, job_id)
    assert (job.state, job.attempt, job.images_done) == ("queued", 1, 0)


async def test_a_stopping_worker_hands_its_job_back_and_another_goes_on(
    queue: Queue, worker: Worker, redis: Redis, store: ObjectStore, sessions: SessionsOf
) -> None:
    user, request = uuid4(), {**TINY, "steps": 100, "scheduler": "dpmpp_2m"}
    undisturbed, job_id = [await queue.enter(user, request=request) for _ in range(2)]
    await attempt_job(worker, await claimed(worker))
    stopping = replace(worker, stopping=asyncio.Event())
    work = asyncio.create_task(attempt_job(stopping, await claimed(stopping)))
    await wait_for_progress(redis, job_id)
    stopping.stopping.set()
    async with asyncio.timeout(2):
        await work
    job = await queue.read(user, job_id)
    assert (job.state, job.failures, job.worker) == ("queued", 0, None)

    await work_until_idle(worker)
    job = await queue.read(user, job_id)
    assert (job.state, job.attempt) == ("succeeded", 2)
    run = [mark["steps"] for mark in job.marks if mark["name"] == "steps"]
    assert len(run) == 2 and all(run) and sum(run) == 100
    assert show_timeline(job, utc_now()).captured_millicredits == job.captured_millicredits
    files = [await stored_file(sessions, store, one) for one in (undisturbed, job_id)]
    assert files[0] == files[1]


async def stored_file(sessions: SessionsOf, store: ObjectStore, job_id: UUID) -> bytes:
    query = text("SELECT object_key FROM gallery.images WHERE job_id = :job")
    async with sessions("admin")() as session:
        return await store.get(str(await session.scalar(query, {"job": job_id})))


async def test_a_model_is_fetched_for_the_first_job_that_needs_it(
    queue: Queue, worker: Worker, store: ObjectStore, models_dir: Path
) -> None:
    user, name = uuid4(), f"m{uuid4().hex}"
    await publish_model(store, models_dir / "tiny", name)
    models = ModelFolders(store, models_dir, worker.studio.triton)
    job_id = await queue.enter(user, request={**TINY, "model": name})
    await work_until_idle(replace(worker, models=models))
    job = await queue.read(user, job_id)
    assert job.state == "succeeded"
    timeline = show_timeline(job, utc_now())
    assert "model_fetch" in [part.name for part in timeline.segments]
    assert sum(part.microseconds for part in timeline.segments) == timeline.total_microseconds


async def test_a_wish_to_cancel_outlives_the_attempt(
    queue: Queue, worker: Worker, sessions: Callable[[str], Sessions]
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request=TINY)
    job = await claimed(worker)
    await request_cancel(queue, user, job_id)
    async with transaction(queue.workers, user) as session:
        await hand_back_job(session, job, WORKER_STOPS)
    ended = await queue.read(user, job_id)
    assert (ended.state, ended.captured_millicredits) == ("cancelled", 0)
    await assert_settled(sessions)


async def test_a_request_that_the_engine_refuses_fails_at_once_and_is_free(
    queue: Queue, worker: Worker, sessions: Callable[[str], Sessions]
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request={**TINY, "model": "no-such-model"})
    await work_until_idle(worker)
    job = await queue.read(user, job_id)
    assert (job.state, job.attempt, job.captured_millicredits) == ("failed", 1, 0)
    assert job.error is not None and job.error["slug"] == "request-refused"
    await assert_settled(sessions)


async def test_with_storage_away_the_job_goes_back_and_no_failure_is_counted(
    queue: Queue, worker: Worker
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request=TINY)
    cut_off = replace(worker, studio=replace(worker.studio, store=ObjectStore(NOWHERE)))
    await attempt_job(cut_off, await claimed(worker))
    job = await queue.read(user, job_id)
    assert (job.state, job.failures, job.captured_millicredits) == ("queued", 0, None)


async def test_with_triton_away_nothing_is_claimed(queue: Queue, worker: Worker) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request=TINY)
    triton = TritonClient("127.0.0.1:9")
    await work_until_idle(replace(worker, studio=replace(worker.studio, triton=triton)))
    await triton.close()
    assert (await queue.read(user, job_id)).attempt == 0


async def test_a_repeated_attempt_is_paid_once(
    queue: Queue, worker: Worker, sessions: Callable[[str], Sessions]
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request=TINY)
    for _ in range(MAX_FAILURES - 1):
        job = await claimed(worker)
        await lose_worker(queue.workers, job_id)
        async with queue.workers.begin() as session:
            claim = leases.claim_of(job)
            await leases.hand_back(session, claim, reason="test", delay_seconds=0, failures=1)
    await work_until_idle(worker)
    job = await queue.read(user, job_id)
    assert (job.state, job.attempt) == ("succeeded", MAX_FAILURES)
    async with sessions("admin")() as session:
        captures = "SELECT count(*) FROM credits.transfers WHERE kind = 'capture'"
        assert await session.scalar(text(captures)) == 1
    await assert_settled(sessions)
