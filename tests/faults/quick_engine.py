"""The GPU worker with an engine that draws noise: `main` is a composition root beside the real one.

Everything else is the worker's own: Celery, claims, leases, checkpoints, storage, settlement.
"""

import asyncio
import json
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
    Checkpoint,
    Done,
    GenerationRequest,
    Picture,
    Progress,
    Seconds,
    Started,
    Stats,
)
from libs.triton.errors import HandedBack, InvalidGeneration
from services.generation.client.tier_changes import UPKEEP_QUEUE
from services.generation.service.execution import Worker
from services.generation.service.presence import be_present
from services.generation.settings import WorkerSettings
from services.generation.worker import build_worker, register_tasks

STEP_SECONDS = 0.02


class QuickEngine(TritonClient):
    """Noise from the seed, a few milliseconds a step; it resumes and hands back as the real one.

    `requests` are those that it got, `steps_run` the steps that it really ran.
    """

    def __init__(self, url: str = "127.0.0.1:9", *, step_seconds: float = STEP_SECONDS) -> None:
        super().__init__(url)
        self.step_seconds = step_seconds
        self.requests: list[GenerationRequest] = []
        self.steps_run = 0
        self._drawing: set[str] = set()
        self._let_go: set[str] = set()

    async def generate(
        self, request: GenerationRequest, request_id: str = "", files: Sequence[bytes] = ()
    ) -> AsyncGenerator[AnyEvent, None]:
        self.requests.append(request)
        done = 0 if request.resume is None else read_step(files[request.resume], request)
        self._drawing.add(request_id)
        try:
            yield Started()
            for step in range(done + 1, request.steps + 1):
                await asyncio.sleep(self.step_seconds)
                if request_id in self._let_go:
                    yield checkpoint(step - 1, request)
                    raise HandedBack(f"draining: handed back after step {step - 1}")
                self.steps_run += 1
                yield Progress(step=step, steps=request.steps)
                if request.checkpoint_every and step % request.checkpoint_every == 0:
                    yield checkpoint(step, request)
        finally:
            self._drawing.discard(request_id)
        spent = Seconds(queue=0, steps=request.steps * self.step_seconds, decode=0)
        yield Done(steps=request.steps, seconds=spent, image=noise(request))

    async def drain(self, request_ids: Sequence[str] | None = None) -> int:
        let_go = self._drawing.intersection(request_ids or self._drawing)
        self._let_go |= let_go
        return len(let_go)

    async def is_ready(self) -> bool:
        return True

    async def unload_model(self, name: str) -> bool:
        return False

    async def stats(self) -> Stats:
        return Stats(type="stats", running=0, waiting=0, paused=0, models={}, requests=())


def noise(request: GenerationRequest) -> Picture:
    """The picture of a request."""
    dice = np.random.default_rng(request.seed)
    return dice.integers(0, 256, (request.height, request.width, 3), dtype=np.uint8)


def checkpoint(step: int, request: GenerationRequest) -> Checkpoint:
    body = json.dumps({"step": step, "seed": request.seed}).encode()
    return Checkpoint(step=step, steps=request.steps, body=body)


def read_step(body: bytes, request: GenerationRequest) -> int:
    """Raises InvalidGeneration for what is no checkpoint of this request."""
    try:
        saved = json.loads(body)
    except ValueError:
        raise InvalidGeneration("resume: not a checkpoint") from None
    if saved["seed"] != request.seed:
        raise InvalidGeneration("resume: a checkpoint of another request")
    return int(saved["step"])


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
