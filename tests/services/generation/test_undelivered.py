"""Images that are drawn when a job ends some other way: delivered, or deleted; never just there."""

import asyncio
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.credits.ledger import settle_hold
from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.storage.objects import ObjectStore, StorageSettings
from services.generation.attempts import MAX_FAILURES
from services.generation.models import Job
from services.generation.repository import leases
from services.generation.service import owner
from services.generation.service.abandoned import clear_checkpoints
from services.generation.service.checkpoints import folder_of
from services.generation.service.execution import Worker
from services.generation.service.storing import image_id_of, object_keys
from services.generation.sweeper import recover_lost_jobs
from tests.services.generation.queue_of_jobs import PRICE, Queue, SessionsOf, lose_worker
from tests.services.generation.test_ingredients import give_image
from tests.services.generation.test_resumption import (
    MANY,
    Place,
    begin,
    engine_of,
    run,
    until_steps,
)

DELETE_IMAGE = text("DELETE FROM gallery.images WHERE id = :id")
LOCK_NOW = text("SELECT id FROM generation.jobs WHERE id = :id FOR UPDATE NOWAIT")
IMAGE_STEPS = 20
KEPT = 2


class DeafStore(ObjectStore):
    """One that does not tell what lies in it, until it is let."""

    def __init__(self, settings: StorageSettings) -> None:
        super().__init__(settings)
        self.may_list, self.is_asked = asyncio.Event(), asyncio.Event()

    async def list_keys(self, prefix: str) -> list[str]:
        self.is_asked.set()
        await self.may_list.wait()
        return await super().list_keys(prefix)


@pytest.fixture
def place(queue: Queue, redis: Redis, store: ObjectStore) -> Place:
    return Place(queue, redis, store)


async def draw_some(place: Place, user: UUID, **changes: object) -> UUID:
    """A job of eight images, handed back with two of them kept."""
    job_id = await place.queue.enter(user, request={**MANY, **changes}, price=8 * PRICE)
    worker = place.worker()
    _, attempt = await begin(worker)
    await until_steps(worker, KEPT * IMAGE_STEPS + 5)
    worker.stopping.set()
    await attempt
    assert len(await place.store.list_keys(f"{user}/")) >= 2 * KEPT
    return job_id


async def draw_and_lose(place: Place, user: UUID) -> Job:
    """A job that was given up since its workers were lost, with two images kept."""
    job_id = await draw_some(place, user)
    for _ in range(MAX_FAILURES):
        assert await place.queue.claim() is not None
        await lose_worker(place.queue.workers, job_id)
        await recover_lost_jobs(place.sweeper())
    job = await place.queue.read(user, job_id)
    assert job.state == "failed"
    return job


async def request_cancel(place: Place, user: UUID, job_id: UUID) -> None:
    async with transaction(place.queue.api, user) as session:
        await owner.cancel_generation(session, job_id, clock=utc_now)


def files_of(job: Job, images: int) -> list[str]:
    places = range(images)
    return sorted(key for at in places for key in object_keys(job, image_id_of(job, at), "png"))


async def assert_delivered(place: Place, job: Job, state: str) -> None:
    assert (job.state, job.images_done) == (state, KEPT)
    assert job.captured_millicredits == KEPT * PRICE
    there = await place.store.list_keys(f"{job.user_id}/")
    assert set(files_of(job, KEPT)) <= set(there)
    assert await place.keys(job.user_id, job.id) == []


async def test_an_image_that_is_deleted_meanwhile_does_not_cost_those_that_are_drawn(
    place: Place, sessions: SessionsOf
) -> None:
    user, second = uuid4(), place.worker()
    image = await give_image(sessions, user, 64, 64)
    await place.store.put(f"{user}/2026/11/{image}.png", b"its file", content_type="image/png")
    begins = {"task": "upscale", "init_image_id": image}
    job_id = await draw_some(place, user, **begins)
    async with sessions("admin").begin() as session:
        await session.execute(DELETE_IMAGE, {"id": image})
    await run(second)
    job = await place.queue.read(user, job_id)
    await assert_delivered(place, job, "partial")
    assert job.error == {
        "slug": "request-refused",
        "detail": "init_image_id: the image was deleted",
    }
    assert engine_of(second).requests == []


async def test_who_cancels_while_a_job_waits_for_a_place_gets_what_is_drawn(place: Place) -> None:
    user, second = uuid4(), place.worker()
    job_id = await draw_some(place, user)
    async with second.places.take(alone=True):
        _, attempt = await begin(second)
        await request_cancel(place, user, job_id)
        await attempt
    await assert_delivered(place, await place.queue.read(user, job_id), "cancelled")


async def test_images_of_a_job_that_the_sweeper_gave_up_are_deleted(place: Place) -> None:
    job = await draw_and_lose(place, uuid4())
    assert len(await place.store.list_keys(f"{job.user_id}/")) >= 2 * KEPT
    await clear_checkpoints(place.queue.workers, place.store)
    assert await place.store.list_keys(f"{job.user_id}/") == []
    assert await place.keys(job.user_id, job.id) == []


async def test_images_of_a_job_under_way_and_those_in_a_gallery_stay(place: Place) -> None:
    user = uuid4()
    job_id = await draw_some(place, user)
    await clear_checkpoints(place.queue.workers, place.store)
    assert "0/image.json" in await place.keys(user, job_id)
    await run(place.worker())
    job = await place.queue.read(user, job_id)
    await place.store.put(f"{folder_of(user, job_id)}7/1", b"late", content_type="text/plain")
    await clear_checkpoints(place.queue.workers, place.store)
    assert await place.keys(user, job_id) == []
    assert await place.store.list_keys(f"{user}/") == files_of(job, 8)


async def test_a_job_whose_files_are_being_deleted_is_not_queued_again(place: Place) -> None:
    job = await draw_and_lose(place, uuid4())
    async with transaction(place.queue.workers, job.user_id) as clearing:
        assert await leases.lock_ended(clearing, job.id) is not None
        async with transaction(place.queue.api, job.user_id) as requeueing:
            with pytest.raises(DBAPIError, match="could not obtain lock"):
                await requeueing.execute(LOCK_NOW, {"id": job.id})


async def test_who_cancels_before_it_is_known_what_is_drawn_leaves_no_files(
    place: Place, storage_settings: StorageSettings
) -> None:
    user, deaf = uuid4(), DeafStore(storage_settings)
    job_id = await draw_some(place, user)
    second: Worker = Place(place.queue, place.redis, deaf).worker()
    _, attempt = await begin(second)
    await deaf.is_asked.wait()
    await request_cancel(place, user, job_id)
    await attempt
    job = await place.queue.read(user, job_id)
    assert (job.state, job.captured_millicredits) == ("cancelled", 0)
    await clear_checkpoints(place.queue.workers, place.store)
    assert await place.store.list_keys(f"{user}/") == []


async def test_one_job_that_cannot_be_cleared_holds_up_no_other(place: Place) -> None:
    users = [uuid4() for _ in range(6)]
    for user in users:
        # Of another version, which nobody can read any more.
        job_id = await place.queue.enter(user, request={"old": 1} if user != users[-1] else None)
        job = await place.queue.claim()
        assert job is not None
        await place.queue.finish(job)
        await place.store.put(f"{folder_of(user, job_id)}0/1", b"x", content_type="text/plain")
    await clear_checkpoints(place.queue.workers, place.store)
    assert await place.keys(users[-1], job_id) == []


async def test_a_hold_that_ended_before_its_job_is_not_said_to_be_paid(
    place: Place, sessions: SessionsOf
) -> None:
    user = uuid4()
    job_id = await place.queue.enter(user, request={**MANY, "num_images": 1})
    async with transaction(place.queue.workers, user) as session:
        await settle_hold(session, user_id=user, hold_id=job_id, captured=0)
    await run(place.worker())
    job = await place.queue.read(user, job_id)
    assert (job.state, job.images_done, job.captured_millicredits) == ("succeeded", 1, 0)


async def test_a_file_that_is_gone_is_not_waited_for(place: Place, sessions: SessionsOf) -> None:
    user = uuid4()
    image = await give_image(sessions, user, 64, 64)
    request = {**MANY, "task": "upscale", "init_image_id": image}
    job_id = await place.queue.enter(user, request=request)
    await run(place.worker())
    job = await place.queue.read(user, job_id)
    assert (job.state, job.captured_millicredits) == ("failed", 0)
    assert job.error is not None
    assert job.error["detail"] == "init_image_id: the image's file is gone"
