"""A worker that is lost, or stops: what was drawn is not drawn again, and is charged once."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from libs.db.transaction import transaction
from libs.events.streams import FIRST, job_stream, read_events
from libs.jobs.celery_app import build_celery
from libs.kernel.clock import utc_now
from libs.storage.objects import ObjectStore, StorageSettings
from libs.triton.contract import Checkpoint
from services.generation.models import Job
from services.generation.service import owner
from services.generation.service.abandoned import clear_checkpoints
from services.generation.service.checkpoints import Keeper, find_kept, folder_of
from services.generation.service.drawing import Studio
from services.generation.service.execution import Worker, attempt_job, claim_job
from services.generation.sweeper import Sweeper, recover_lost_jobs
from services.generation.timeline import show_timeline
from tests.faults.quick_engine import QuickEngine
from tests.services.generation.queue_of_jobs import (
    PRICE,
    REQUEST,
    Queue,
    SessionsOf,
    lose_worker,
)

STEPS = 150
LONG = {**REQUEST, "steps": STEPS}  # three seconds
MANY = {**REQUEST, "steps": 20, "num_images": 8}
NOWHERE = StorageSettings("eu-west-1", "none", "http://127.0.0.1:9", None, "a", "b")
CAPTURES = text("SELECT amount FROM credits.transfers WHERE kind = 'capture'")


@dataclass(frozen=True)
class Place:
    """A queue with everything that workers share."""

    queue: Queue
    redis: Redis
    store: ObjectStore

    def worker(self) -> Worker:
        """One more, with an engine of its own."""
        studio = Studio(QuickEngine(), self.store, self.redis)
        return Worker(
            name=uuid4().hex,
            pools=("standard",),
            slots=1,
            sessions=self.queue.workers,
            studio=studio,
            stopping=asyncio.Event(),
        )

    async def keys(self, user: UUID, job: UUID) -> list[str]:
        """What is kept of a job, without its folder."""
        folder = folder_of(user, job)
        return [key.removeprefix(folder) for key in await self.store.list_keys(folder)]

    async def progress(self, job: UUID) -> list[tuple[int, int]]:
        """What the owner was told: images and steps."""
        told: list[tuple[int, int]] = []
        after = FIRST
        while entries := await read_events(self.redis, job_stream(job), after, wait_seconds=0.01):
            after = entries[-1][0]
            told += [
                (event.data["image"], event.data["step"])
                for _, event in entries
                if event.topic == "job.progressed"
            ]
        return told

    async def lose(self, worker: Worker, attempt: "asyncio.Task[None]", job: UUID) -> None:
        """The worker dies in the middle of an attempt, and the sweeper notices."""
        attempt.cancel()
        await asyncio.wait({attempt})
        await lose_worker(self.queue.workers, job)
        await recover_lost_jobs(self.sweeper())

    def sweeper(self) -> Sweeper:
        return Sweeper(self.queue.relay, self.redis, build_celery("redis://127.0.0.1:9/0"))


@pytest.fixture
def place(queue: Queue, redis: Redis, store: ObjectStore) -> Place:
    return Place(queue, redis, store)


def engine_of(worker: Worker) -> QuickEngine:
    engine = worker.studio.triton
    assert isinstance(engine, QuickEngine)
    return engine


async def begin(worker: Worker) -> tuple[Job, "asyncio.Task[None]"]:
    job = await claim_job(worker)
    assert job is not None
    return job, asyncio.create_task(attempt_job(worker, job))


async def run(worker: Worker) -> Job:
    job, attempt = await begin(worker)
    await attempt
    return job


async def until_steps(worker: Worker, steps: int) -> None:
    for _ in range(2_000):
        if engine_of(worker).steps_run >= steps:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{engine_of(worker).steps_run} of {steps} steps")


async def assert_charged_once(sessions: SessionsOf, amount: int) -> None:
    async with sessions("admin").begin() as session:
        assert (await session.scalars(CAPTURES)).all() == [amount]


async def test_a_worker_that_stops_hands_back_at_once_and_no_step_runs_twice(
    place: Place, sessions: SessionsOf
) -> None:
    user, first, second = uuid4(), place.worker(), place.worker()
    patience = timedelta(seconds=30)
    job_id = await place.queue.enter(user, request=LONG, expires_in=patience)
    _, attempt = await begin(first)
    await until_steps(first, 33)
    first.stopping.set()
    begun = time.monotonic()
    await attempt
    assert time.monotonic() - begun < 1
    handed = await place.queue.read(user, job_id)
    assert (handed.state, handed.failures) == ("queued", 0)
    assert handed.expires_at is None  # it has waited for its start, and that was in time
    assert await place.keys(user, job_id) == ["0/1"]

    await run(second)
    done = await place.queue.read(user, job_id)
    assert (done.state, done.attempt, done.captured_millicredits) == ("succeeded", 2, PRICE)
    await assert_charged_once(sessions, PRICE)
    assert engine_of(first).steps_run + engine_of(second).steps_run == STEPS
    assert await place.keys(user, job_id) == []
    told = await place.progress(job_id)
    assert told == sorted(set(told)) and told[-1] == (0, STEPS)


async def test_a_worker_that_dies_costs_the_steps_since_its_last_checkpoint(
    place: Place, sessions: SessionsOf
) -> None:
    user, first, second = uuid4(), place.worker(), place.worker()
    job_id = await place.queue.enter(user, request=LONG)
    _, attempt = await begin(first)
    await until_steps(first, 75)
    await place.lose(first, attempt, job_id)

    await run(second)
    done = await place.queue.read(user, job_id)
    assert (done.state, done.failures, done.captured_millicredits) == ("succeeded", 1, PRICE)
    assert engine_of(second).requests[0].resume == 0
    assert STEPS < engine_of(first).steps_run + engine_of(second).steps_run < 1.5 * STEPS
    told = await place.progress(job_id)
    assert told == sorted(set(told)) and told[-1] == (0, STEPS)
    await assert_charged_once(sessions, PRICE)
    timeline = show_timeline(done, utc_now())
    assert sum(part.microseconds for part in timeline.segments) == timeline.total_microseconds
    assert sum(part.millicredits for part in timeline.segments) == PRICE


async def test_images_that_are_stored_are_not_drawn_again(place: Place) -> None:
    user, first, second = uuid4(), place.worker(), place.worker()
    job_id = await place.queue.enter(user, request=MANY, price=8_000)
    _, attempt = await begin(first)
    await until_steps(first, 6 * 20 + 10)
    first.stopping.set()
    await attempt

    await run(second)
    done = await place.queue.read(user, job_id)
    assert (done.state, done.images_done, done.captured_millicredits) == ("succeeded", 8, 8_000)
    seeds = [request.seed for request in engine_of(second).requests]
    assert seeds == [13, 14]
    assert engine_of(first).steps_run + engine_of(second).steps_run == 8 * 20
    assert await place.keys(user, job_id) == []


async def test_a_checkpoint_that_the_engine_refuses_costs_the_steps_and_nothing_else(
    place: Place,
) -> None:
    user, first, second = uuid4(), place.worker(), place.worker()
    job_id = await place.queue.enter(user, request=MANY)
    _, attempt = await begin(first)
    await until_steps(first, 10)
    first.stopping.set()
    await attempt
    folder = folder_of(user, job_id)
    await place.store.put(f"{folder}0/1", b'{"step": 7}\nold', content_type="text/plain")

    await run(second)
    done = await place.queue.read(user, job_id)
    assert (done.state, done.captured_millicredits) == ("succeeded", PRICE)
    assert [request.resume for request in engine_of(second).requests][:2] == [0, None]


async def test_a_late_checkpoint_of_an_older_attempt_disturbs_nobody(place: Place) -> None:
    user, keepers, job = uuid4(), [], None
    job_id = await place.queue.enter(user)
    for _ in range(2):
        job = await place.queue.claim()
        assert job is not None
        keepers.append(Keeper(place.store, job))
        await lose_worker(place.queue.workers, job_id)
        await recover_lost_jobs(place.sweeper())
    older, newer = keepers
    for keeper, step in ((newer, 10), (older, 15)):
        keeper.offer(0, Checkpoint(step=step, steps=20, body=b"state %d" % step))
        await keeper.store_newest()
    assert job is not None
    kept = await find_kept(place.store, job)
    assert kept.state is not None and (kept.state.step, kept.state.body) == (10, b"state 10")
    assert sorted(await place.keys(user, job_id)) == ["0/1", "0/2"]


async def test_what_no_job_under_way_needs_is_cleared(place: Place) -> None:
    user, worker = uuid4(), place.worker()
    ended = await place.queue.enter(user, request=LONG)
    _, attempt = await begin(worker)
    await until_steps(worker, 5)
    worker.stopping.set()
    await attempt
    async with transaction(place.queue.api, user) as session:
        await owner.cancel_generation(session, ended, clock=utc_now)
    other = place.worker()
    waiting = await place.queue.enter(user, request=LONG)
    _, attempt = await begin(other)
    await until_steps(other, 5)
    other.stopping.set()
    await attempt
    assert await clear_checkpoints(place.queue.workers, place.store) >= 1
    assert await place.keys(user, ended) == []
    assert await place.keys(user, waiting) == ["0/1"]


async def test_without_a_store_for_checkpoints_the_drawing_goes_on(place: Place) -> None:
    job_id = await place.queue.enter(user := uuid4(), request=REQUEST)
    job = await place.queue.claim()
    assert job is not None
    keeper = Keeper(ObjectStore(NOWHERE), job)
    keeper.offer(0, Checkpoint(step=5, steps=20, body=b"state"))
    await keeper.store_newest()
    await keeper.forget()
    assert await place.keys(user, job_id) == []
