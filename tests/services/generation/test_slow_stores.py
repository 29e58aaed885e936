"""A store that is slow or hangs: what an attempt leaves to it, and for how long it waits."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.storage.objects import ObjectStore, StorageSettings
from services.generation.repository.leases import LEASE_SECONDS
from services.generation.service import owner
from services.generation.service.checkpoints import LAST_SECONDS
from services.generation.service.execution import RENEW_SECONDS, STOP_GRACE_SECONDS
from tests.services.generation.queue_of_jobs import REQUEST, Queue
from tests.services.generation.test_resumption import LONG, Place, begin, until_steps

PUT_SECONDS = STOP_GRACE_SECONDS + 0.5
assert PUT_SECONDS < RENEW_SECONDS + LAST_SECONDS


class SlowStore(ObjectStore):
    """One that stores an object when its attempt has long been told to end."""

    def __init__(self, settings: StorageSettings) -> None:
        super().__init__(settings)
        self.puts_begun = 0

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        self.puts_begun += 1
        time.sleep(PUT_SECONDS)
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


@pytest.mark.parametrize("why", ["cancelled", "queued"])
async def test_no_file_arrives_after_its_attempt_has_ended(
    queue: Queue, redis: Redis, storage_settings: StorageSettings, why: str
) -> None:
    user, store = uuid4(), SlowStore(storage_settings)
    job_id = await queue.enter(user, request={**REQUEST, "steps": 2})
    worker = Place(queue, redis, store).worker()
    _, attempt = await begin(worker)
    while store.puts_begun < 2:  # noqa: ASYNC110 - a thread tells
        await asyncio.sleep(0.01)
    if why == "cancelled":
        async with transaction(queue.api, user) as session:
            await owner.cancel_generation(session, job_id, clock=utc_now)
    else:
        worker.stopping.set()
    await attempt
    assert (await queue.read(user, job_id)).state == why
    assert len(await store.list_keys(f"{user}/")) == 2
