"""Engines that die: who is to blame, who goes on, and how they are mended."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from redis.asyncio import Redis

from libs.jobs.celery_app import build_celery
from libs.moderation.findings import Finding, Moderation, Pixels
from libs.storage.objects import ObjectStore
from libs.triton.contract import AnyEvent, GenerationRequest, Progress
from libs.triton.errors import EngineUnhealthy, ServerUnavailable
from services.generation.attempts import MAX_ENGINE_DEATHS
from services.generation.models import FINAL_STATES
from services.generation.service.drawing import Studio
from services.generation.service.engine_room import MAX_RELOADS, Places, Watchdog
from services.generation.service.execution import Worker, work_until_idle
from services.generation.sweeper import Sweeper, end_rests
from tests.faults.quick_engine import QuickEngine, noise
from tests.services.generation.queue_of_jobs import PRICE, REQUEST, Queue

POISON = "a poisoned apple"
FATAL_STEP = 3
UNJUDGED = Moderation("off")


class MortalEngine(QuickEngine):
    """One that dies at the third step of a poisoned picture, and with it all that it draws."""

    deaths = 0
    is_dead = False

    async def generate(
        self, request: GenerationRequest, request_id: str = "", files: Sequence[bytes] = ()
    ) -> AsyncGenerator[AnyEvent, None]:
        async with aclosing(super().generate(request, request_id, files)) as events:
            async for event in events:
                fatal = isinstance(event, Progress) and event.step == FATAL_STEP
                if request.prompt == POISON and fatal:
                    self.deaths, self.is_dead = self.deaths + 1, True
                if self.is_dead:
                    raise EngineUnhealthy("not healthy")
                yield event

    async def is_alive(self, seconds: float | None = None) -> bool:
        return not self.is_dead

    async def reload(self) -> bool:
        was_dead, self.is_dead = self.is_dead, False
        return was_dead


class HopelessEngine(MortalEngine):
    """One that cannot be loaded again."""

    async def reload(self) -> bool:
        raise ServerUnavailable("nothing answers")


def worker_with(
    engine: QuickEngine,
    queue: Queue,
    redis: Redis,
    store: ObjectStore,
    moderation: Moderation = UNJUDGED,
) -> Worker:
    return Worker(
        name=uuid4().hex,
        pools=("standard",),
        slots=2,
        sessions=queue.workers,
        studio=Studio(engine, store, redis, moderation),
        stopping=asyncio.Event(),
    )


async def work_until_all_end(worker: Worker, queue: Queue, jobs: dict[UUID, UUID]) -> None:
    """Two at once, as the process's threads do, with a sweeper that ends rests."""
    sweeper = Sweeper(queue.relay, worker.studio.redis, build_celery("redis://127.0.0.1:9/0"))
    async with asyncio.timeout(40):
        while True:
            states = [(await queue.read(user, job)).state for job, user in jobs.items()]
            if set(states) <= set(FINAL_STATES):
                return
            await end_rests(sweeper)
            await asyncio.gather(work_until_idle(worker), work_until_idle(worker))
            await asyncio.sleep(0.1)


async def test_who_kills_engines_is_given_up_and_its_mates_are_not(
    queue: Queue, redis: Redis, store: ObjectStore
) -> None:
    engine, poisoner, neighbour = MortalEngine(), uuid4(), uuid4()
    worker = worker_with(engine, queue, redis, store)
    poison = await queue.enter(poisoner, request={**REQUEST, "prompt": POISON})
    good = await queue.enter(neighbour, request={**REQUEST, "steps": 60})
    await work_until_all_end(worker, queue, {poison: poisoner, good: neighbour})

    given_up = await queue.read(poisoner, poison)
    assert (given_up.state, given_up.captured_millicredits) == ("failed", 0)
    assert given_up.error is not None and given_up.error["slug"] == "engine-failed"
    assert engine.deaths == MAX_ENGINE_DEATHS
    finished = await queue.read(neighbour, good)
    assert (finished.state, finished.failures) == ("succeeded", 0)
    assert finished.captured_millicredits == PRICE


async def test_a_suspect_is_alone_and_others_wait() -> None:
    places, order = Places(), list[str]()

    async def stay(name: str, *, alone: bool = False) -> None:
        async with places.take(alone=alone):
            order.append(f"{name} in")
            await asyncio.sleep(0.02)
            order.append(f"{name} out")

    first = asyncio.create_task(stay("first"))
    await asyncio.sleep(0)
    suspect = asyncio.create_task(stay("suspect", alone=True))
    await asyncio.sleep(0)
    later = asyncio.create_task(stay("later"))
    await asyncio.gather(first, suspect, later)
    words = ["first in", "first out", "suspect in", "suspect out", "later in", "later out"]
    assert order == words
    assert (places.are_open, places.are_empty) == (True, True)


async def test_whoever_waits_for_a_place_may_be_cancelled() -> None:
    places = Places()
    async with places.take(alone=False):
        waiting = asyncio.create_task(places.take(alone=True).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert places.are_open and places.are_empty


async def test_where_loading_anew_does_not_help_triton_is_restarted_once_a_minute(
    tmp_path: Path,
) -> None:
    log = tmp_path / "restarts"
    script = f"open({str(log)!r}, 'a').write('again ')"
    watchdog = Watchdog(HopelessEngine(), f'{sys.executable} -c "{script}"')
    await asyncio.gather(watchdog.mend(), watchdog.mend())
    assert log.read_text() == "again "
    assert not watchdog.is_mending


async def test_engines_that_die_one_after_another_are_not_loaded_for_ever(tmp_path: Path) -> None:
    log, engine = tmp_path / "restarts", MortalEngine()
    script = f"open({str(log)!r}, 'a').write('again ')"
    watchdog = Watchdog(engine, f'{sys.executable} -c "{script}"')
    for _ in range(MAX_RELOADS):
        assert not log.exists()
        engine.is_dead = True
        await watchdog.mend()
    assert log.exists()


def of_seed(seed: int) -> Pixels:
    return noise(GenerationRequest.model_validate({**FOR_ENGINE, "seed": seed}))


FOR_ENGINE = {
    name: REQUEST[name]
    for name in ("model", "prompt", "width", "height", "steps", "guidance", "scheduler")
}


@pytest.mark.parametrize(
    ("images", "state", "captured", "seeds"),
    [(3, "partial", 2_000, [7, 9]), (1, "succeeded", 1_000, [7])],
)
async def test_a_picture_that_may_not_be_seen_is_not_stored_and_free(
    queue: Queue,
    redis: Redis,
    store: ObjectStore,
    images: int,
    state: str,
    captured: int,
    seeds: list[int],
) -> None:
    async def judge(pixels: Pixels) -> Finding | None:
        return Finding("brands") if np.array_equal(pixels, of_seed(8)) else None

    moderation = Moderation("block", pictures=[judge])
    engine = QuickEngine()
    worker = worker_with(engine, queue, redis, store, moderation)
    user = uuid4()
    request = {**REQUEST, "num_images": images}
    job = await queue.enter(user, request=request, price=images * 1_000)
    await work_until_idle(worker)
    previews = {request.progress_every for request in engine.requests}
    assert previews == {0}, "a preview would show what may have to be blocked"
    ended = await queue.read(user, job)
    assert (ended.state, ended.images_done) == (state, len(seeds))
    assert ended.captured_millicredits == captured
    if state == "partial":
        assert ended.error is not None and ended.error["slug"] == "picture-refused"
