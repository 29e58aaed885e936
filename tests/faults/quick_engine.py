"""The GPU worker with an engine that draws noise: `main` is a composition root beside the real one.

Everything else is the worker's own: Celery, claims, leases, storage, settlement.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import numpy as np

from libs.jobs.bridge import AsyncBridge
from libs.jobs.celery_app import build_celery, queue_of_pool, run_worker
from libs.kernel.settings import load
from libs.telemetry.logs import configure_logs
from libs.triton.client import TritonClient
from libs.triton.contract import (
    AnyEvent,
    Done,
    GenerationRequest,
    Progress,
    Seconds,
    Started,
    Stats,
)
from services.generation.client.tier_changes import UPKEEP_QUEUE
from services.generation.service.execution import Worker
from services.generation.service.presence import be_present
from services.generation.settings import WorkerSettings
from services.generation.worker import build_worker, register_tasks

STEP_SECONDS = 0.02


class QuickEngine(TritonClient):
    """Noise from the seed, a few milliseconds a step."""

    async def generate(
        self, request: GenerationRequest, request_id: str = "", files: Sequence[bytes] = ()
    ) -> AsyncGenerator[AnyEvent, None]:
        yield Started()
        for step in range(1, request.steps + 1):
            await asyncio.sleep(STEP_SECONDS)
            yield Progress(step=step, steps=request.steps)
        noise = np.random.default_rng(request.seed)
        image = noise.integers(0, 256, (request.height, request.width, 3), dtype=np.uint8)
        spent = Seconds(queue=0, steps=request.steps * STEP_SECONDS, decode=0)
        yield Done(steps=request.steps, seconds=spent, image=image)

    async def is_ready(self) -> bool:
        return True

    async def stats(self) -> Stats:
        return Stats(type="stats", running=0, waiting=0, paused=0, models={})


async def build_quick_worker(settings: WorkerSettings) -> Worker:
    """The worker's collaborators, but for the engine."""
    worker = await build_worker(settings)
    engine = QuickEngine(settings.triton_grpc_url)
    return replace(worker, studio=replace(worker.studio, triton=engine))


def main() -> None:
    """Work until killed."""
    settings = load(WorkerSettings)
    configure_logs("worker", settings.log_level)
    bridge = AsyncBridge()
    worker = bridge.run(build_quick_worker(settings))
    celery = build_celery(settings.redis_url)
    register_tasks(celery, bridge, worker)
    bridge.start(be_present(worker))
    run_worker(
        celery,
        queues=[*map(queue_of_pool, settings.pools), UPKEEP_QUEUE],
        threads=settings.worker_concurrency,
        log_level=settings.log_level,
    )
