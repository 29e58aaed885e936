"""A store that is slow or hangs: what an attempt leaves to it, and for how long it waits."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID, uuid4

from redis.asyncio import Redis

from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.storage.objects import ObjectStore, StorageSettings
from services.generation.models import Job
from services.generation.repository.leases import LEASE_SECONDS
from services.generation.service import owner
from services.generation.service.abandoned import clear_checkpoints
from services.generation.service.checkpoints import LAST_SECONDS, ROOT, folder_of
from services.generation.service.execution import (
    DELIVERY_SECONDS,
    RENEW_SECONDS,
    STOP_GRACE_SECONDS,
    Worker,
)
from tests.services.generation.queue_of_jobs import PRICE, REQUEST, Queue
from tests.services.generation.test_resumption import LONG, Place, begin, until_steps

AFTER_THE_GRACE = STOP_GRACE_SECONDS + 0.5
BEFORE_A_CANCEL_IS_DONE = RENEW_SECONDS + 0.5
assert AFTER_THE_GRACE < STOP_GRACE_SECONDS + LAST_SECONDS
assert BEFORE_A_CANCEL_IS_DONE < DELIVERY_SECONDS
TOO_LATE = RENEW_SECONDS + DELIVERY_SECONDS + LAST_SECONDS + 1.0


class SlowStore(ObjectStore):
    """One that takes so long to store an object."""

    def __init__(self, settings: StorageSettings, seconds: float) -> None:
        super().__init__(settings)
        self.seconds, self.puts_begun = seconds, 0

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        self.puts_begun += 1
        time.sleep(0 if key.startswith(ROOT) else self.seconds)
        super()._put(key, body, content_type)


@asynccontextmanager
async def store_that_hangs(settings: StorageSettings) -> AsyncIterator[ObjectStore]:
    """It takes connections and never answers."""
    ended = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield ObjectStore(replace(settings, endpoint_url=f"http://127.0.0.1:{port}"))
        ended.set()


async def test_a_worker_that_stops_does_not_wait_for_a_store_that_hangs(
    queue: Queue, redis: Redis, storage_settings: StorageSettings
) -> None:
    user = uuid4()
    job_id = await queue.enter(user, request=LONG)
    async with store_that_hangs(storage_settings) as store:
        worker = Place(queue, redis, store).worker()
        _, attempt = await begin(worker)
        await until_steps(worker, 12)
        worker.stopping.set()
        begun = time.monotonic()
        async with asyncio.timeout(LEASE_SECONDS):
            await attempt
        assert time.monotonic() - begun < 2 * LAST_SECONDS
    job = await queue.read(user, job_id)
    assert (job.state, job.failures) == ("queued", 0)


async def begin_delivery(
    queue: Queue, redis: Redis, store: SlowStore, user: UUID
) -> tuple[UUID, Worker, "asyncio.Task[None]"]:
    """A job whose only image is finished, and is being stored."""
    job_id = await queue.enter(user, request={**REQUEST, "steps": 2})
    worker = Place(queue, redis, store).worker()
    _, attempt = await begin(worker)
    while store.puts_begun < 2:  # noqa: ASYNC110 - a thread tells
        await asyncio.sleep(0.01)
    return job_id, worker, attempt


async def cancel_in_delivery(queue: Queue, redis: Redis, store: SlowStore, user: UUID) -> Job:
    """That job, cancelled meanwhile, after the end of its attempt."""
    job_id, _, attempt = await begin_delivery(queue, redis, store, user)
    async with transaction(queue.api, user) as session:
        await owner.cancel_generation(session, job_id, clock=utc_now)
    await attempt
    return await queue.read(user, job_id)


async def test_a_finished_image_of_a_job_that_is_cancelled_is_delivered(
    queue: Queue, redis: Redis, storage_settings: StorageSettings
) -> None:
    store = SlowStore(storage_settings, BEFORE_A_CANCEL_IS_DONE)
    job = await cancel_in_delivery(queue, redis, store, uuid4())
    assert (job.state, job.images_done, job.captured_millicredits) == ("succeeded", 1, PRICE)


async def test_a_finished_image_that_cannot_be_delivered_is_free_and_leaves_no_file(
    queue: Queue, redis: Redis, storage_settings: StorageSettings, store: ObjectStore
) -> None:
    user, slow = uuid4(), SlowStore(storage_settings, TOO_LATE)
    job = await cancel_in_delivery(queue, redis, slow, user)
    assert (job.state, job.images_done, job.captured_millicredits) == ("cancelled", 0, 0)
    while len(await store.list_keys(f"{user}/")) < 2:  # noqa: ASYNC110 - another machine tells
        await asyncio.sleep(0.1)
    await clear_checkpoints(queue.workers, store)
    assert await store.list_keys(f"{user}/") == []
    assert await store.list_keys(folder_of(user, job.id)) == []


async def test_no_file_arrives_after_a_worker_has_stopped(
    queue: Queue, redis: Redis, storage_settings: StorageSettings
) -> None:
    user, store = uuid4(), SlowStore(storage_settings, AFTER_THE_GRACE)
    job_id, worker, attempt = await begin_delivery(queue, redis, store, user)
    worker.stopping.set()
    await attempt
    assert (await queue.read(user, job_id)).state == "queued"
    assert len(await store.list_keys(f"{user}/")) == 2
