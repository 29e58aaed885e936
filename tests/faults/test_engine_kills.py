"""Machines that are lost in the middle of pictures: every picture comes, byte for byte the one
that nobody disturbed, is paid once, and most of its steps are run once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from libs.storage.objects import ObjectStore, StorageSettings
from libs.testkit.postgres import Database
from libs.triton.client import TritonClient
from libs.triton.errors import TritonError
from services.generation.models import FINAL_STATES
from services.generation.service.checkpoints import ROOT as CHECKPOINTS
from services.generation.service.checkpoints import folder_of
from tests.faults.engine_stack import EngineStack, engine_stack
from tests.services.generation.queue_of_jobs import PRICE, REQUEST, Queue

STEPS = 60
WISHES: tuple[dict[str, Any], ...] = (
    {"scheduler": "euler", "num_images": 2},
    {"scheduler": "dpmpp_2m", "seed": 100},
    {"scheduler": "euler_a", "seed": 200},
    {"scheduler": "unipc", "seed": 300, "guidance": 1.0},
)
WHOLE = STEPS * sum(wish.get("num_images", 1) for wish in WISHES)
BATCHES = 5  # one undisturbed, and one for each way to be lost
UNSEEN = 20  # steps that a killed engine ran after it was asked for the last time
KEPT_JOBS = 2  # that have a checkpoint in the store before something is killed
TERMINATION_SECONDS = 5.0
BATCH_SECONDS = 120.0
POLL_SECONDS = 0.1
KEYS = text("SELECT object_key FROM gallery.images WHERE job_id = :job ORDER BY seed")
CAPTURES = text(
    "SELECT reference, sum(amount) FROM credits.transfers WHERE kind = 'capture' GROUP BY reference"
)
LEFT = text("SELECT id FROM credits.holds UNION ALL SELECT job_id FROM generation.leases")
Batch = dict[UUID, UUID]  # job -> user


@dataclass
class Customers:
    """Who order, watch and compare."""

    stack: EngineStack
    queue: Queue
    store: ObjectStore
    admin: Sessions
    triton: TritonClient

    async def order(self) -> Batch:
        """One job of each of four customers."""
        batch: Batch = {}
        for wish in WISHES:
            user, request = uuid4(), {**REQUEST, "model": "tiny", "steps": STEPS, **wish}
            batch[await self.queue.enter(user, request=request)] = user
        return batch

    async def wait_for(self, what: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(round(BATCH_SECONDS / POLL_SECONDS)):
            if await what():
                return
            self.stack.supervise()
            await asyncio.sleep(POLL_SECONDS)
        pytest.fail(f"nothing came of it in {BATCH_SECONDS:g} s; see {self.stack.folder}")

    async def begin(self) -> Batch:
        """A batch that is in the middle, with checkpoints in the store."""
        batch = await self.order()

        async def are_kept() -> bool:
            keys = await self.store.list_keys(CHECKPOINTS)
            folders = [folder_of(user, job) for job, user in batch.items()]
            return sum(any(key.startswith(one) for key in keys) for one in folders) >= KEPT_JOBS

        await self.wait_for(are_kept)
        return batch

    async def finish(self, batch: Batch) -> list[bytes]:
        """The files of a batch, once all its jobs have succeeded."""

        async def have_ended() -> bool:
            jobs = [await self.queue.read(user, job) for job, user in batch.items()]
            return all(job.state in FINAL_STATES for job in jobs)

        await self.wait_for(have_ended)
        files = []
        for job, user in batch.items():
            ended = await self.queue.read(user, job)
            assert (ended.state, ended.captured_millicredits) == ("succeeded", PRICE), ended.error
            async with self.admin() as session:
                keys = (await session.scalars(KEYS, {"job": job})).all()
            files += [await self.store.get(key) for key in keys]
        return files

    async def steps_run(self) -> int:
        """Steps that this Triton has run."""
        try:
            return (await self.triton.stats()).models["tiny"].steps
        except (TritonError, KeyError):
            return 0


@pytest.fixture
def stack(
    tmp_path: Path,
    models_dir: Path,
    database: Database,
    redis_url: str,
    storage_settings: StorageSettings,
) -> Any:
    with engine_stack(tmp_path, models_dir, database, redis_url, storage_settings) as running:
        yield running


@pytest.fixture
async def customers(
    stack: EngineStack, store: ObjectStore, sessions: Callable[[str], Sessions]
) -> Any:
    queue = Queue(*(sessions(role) for role in ("generation", "worker", "relay", "billing")))
    triton = stack.client()
    yield Customers(stack, queue, store, sessions("admin"), triton)
    await triton.close()


async def test_every_picture_comes_and_is_the_same_whatever_is_killed(
    customers: Customers,
) -> None:
    undisturbed = await customers.finish(await customers.order())
    assert len(set(undisturbed)) == len(undisturbed) == WHOLE // STEPS
    for lose, least, most in (
        (stop_a_worker, WHOLE, 1.2 * WHOLE),
        (kill_a_worker, WHOLE, 1.9 * WHOLE),
        (kill_triton, WHOLE - UNSEEN, 1.9 * WHOLE),
        (kill_engine, WHOLE - UNSEEN, 1.9 * WHOLE),
    ):
        files, steps = await lose(customers)
        assert files == undisturbed, lose.__name__
        print(f"{lose.__name__}: {steps} steps for {WHOLE}")
        assert least <= steps < most, (lose.__name__, steps)
    await assert_nothing_is_left(customers)


async def stop_a_worker(customers: Customers) -> tuple[list[bytes], int]:
    """SIGTERM: next to no step runs twice. The files, and the steps that were run for them."""
    before = await customers.steps_run()
    batch = await customers.begin()
    assert customers.stack.terminate("worker-0") < TERMINATION_SECONDS
    customers.stack.start_worker("worker-2")
    return await customers.finish(batch), await customers.steps_run() - before


async def kill_a_worker(customers: Customers) -> tuple[list[bytes], int]:
    """Its jobs are taken up when its leases have run out."""
    before = await customers.steps_run()
    batch = await customers.begin()
    customers.stack.kill("worker-1")
    customers.stack.start_worker("worker-3")
    return await customers.finish(batch), await customers.steps_run() - before


async def kill_triton(customers: Customers) -> tuple[list[bytes], int]:
    """All that it drew goes on in the next Triton."""
    before = await customers.steps_run()
    batch = await customers.begin()
    lost = await customers.steps_run() - before
    customers.stack.kill("triton")
    return await customers.finish(batch), lost + await customers.steps_run()


async def kill_engine(customers: Customers) -> tuple[list[bytes], int]:
    """A worker loads it anew; the jobs that were in it go on one after another, as suspects."""
    before = await customers.steps_run()
    batch = await customers.begin()
    lost = await customers.steps_run() - before
    customers.stack.kill_engine()
    return await customers.finish(batch), lost + await customers.steps_run()


async def assert_nothing_is_left(customers: Customers) -> None:
    """Each job was paid once; no hold, lease or checkpoint is left."""
    async with customers.admin() as session:
        captures = (await session.execute(CAPTURES)).all()
        assert (await session.execute(LEFT)).all() == []
        assert await ledger_check(session) == []
    assert len(captures) == BATCHES * len(WISHES)
    assert {amount for _, amount in captures} == {PRICE}
    assert await customers.store.list_keys(CHECKPOINTS) == []
