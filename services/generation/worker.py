"""Composition root of the GPU worker: `python -m services.generation.worker`.

A Celery worker on threads, next to one Triton server. Celery only wakes it; the database says what
is due. SIGTERM: no new claims; what runs is handed back at its next step, for another to go on.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from uuid import UUID

from celery import Celery, signals

from libs.db.engine import build_engine, build_sessions
from libs.db.transaction import transaction
from libs.events.connection import build_redis
from libs.jobs.bridge import AsyncBridge
from libs.jobs.celery_app import build_celery, queue_of_pool, run_worker
from libs.kernel.settings import load
from libs.moderation.settings import build_moderation
from libs.storage.objects import StorageUnavailable
from libs.telemetry.logs import configure_logs, get_logger
from libs.telemetry.metrics import serve_metrics
from libs.telemetry.tracing import configure_tracing
from libs.triton.client import TritonClient
from libs.triton.errors import TritonError
from services.generation.client.tier_changes import UPKEEP_QUEUE
from services.generation.service.abandoned import clear_checkpoints_forever
from services.generation.service.drawing import Studio
from services.generation.service.execution import TURN_SECONDS, Worker, work_until_idle
from services.generation.service.model_folders import ModelFolders
from services.generation.service.presence import be_present
from services.generation.service.reweighing import reweigh_jobs
from services.generation.settings import (
    WorkerSettings,
    model_store_of,
    split_words,
    store_of,
)
from services.generation.tasks import register_reweighing, register_wake_up

log = get_logger(__name__)


async def build_worker(settings: WorkerSettings) -> Worker:
    """The worker's collaborators, made on the loop that uses them."""
    engine = build_engine(
        settings.database_url, application="easel-worker", pool_size=settings.worker_concurrency
    )
    store = store_of(settings, settings.s3_bucket_images)
    triton = TritonClient(settings.triton_grpc_url, control_key=settings.triton_control_key)
    return Worker(
        name=f"{socket.gethostname()}:{os.getpid()}",
        pools=settings.pools,
        slots=settings.worker_concurrency,
        sessions=build_sessions(engine),
        studio=Studio(
            triton,
            store,
            build_redis(settings.redis_url),
            moderation=build_moderation(settings),
            checkpoint_every=settings.worker_checkpoint_every,
        ),
        stopping=asyncio.Event(),
        restart_command=settings.worker_restart_triton,
        models=build_models(settings, triton),
    )


def build_models(settings: WorkerSettings, triton: TritonClient) -> ModelFolders | None:
    """Where models are fetched from and to, if there is a bucket of them."""
    store = model_store_of(settings)
    if store is None or settings.models_dir is None:
        return None
    budget = round(settings.worker_models_gib * 2**30)
    return ModelFolders(store, settings.models_dir, triton, budget)


async def prefetch(models: ModelFolders, names: Sequence[str]) -> None:
    """Fetch models before anybody asks; one that cannot be had now is tried when it is needed."""
    for name in names:
        try:
            await models.require(name)
        except (StorageUnavailable, TritonError, OSError) as error:
            log.warning("model_not_prefetched", model=name, error=repr(error))


async def reweigh(worker: Worker, user_id: UUID) -> int:
    """A user's tier has changed; one transaction."""
    async with transaction(worker.sessions, user_id) as session:
        return await reweigh_jobs(session, user_id)


def register_tasks(celery: Celery, bridge: AsyncBridge, worker: Worker) -> None:
    """What this process does for each message."""
    register_wake_up(celery, lambda: bridge.run(work_until_idle(worker, turn_seconds=TURN_SECONDS)))
    register_reweighing(celery, lambda user_id: bridge.run(reweigh(worker, user_id)))


def main() -> None:
    """Work until SIGTERM."""
    settings = load(WorkerSettings)
    configure_logs("worker", settings.log_level)
    configure_tracing("worker")
    serve_metrics(settings.metrics_port, settings.host)
    bridge = AsyncBridge()
    worker = bridge.run(build_worker(settings))
    celery = build_celery(settings.redis_url)
    register_tasks(celery, bridge, worker)
    bridge.start(be_present(worker))
    bridge.start(worker.watchdog.watch_forever(worker.places))
    bridge.start(clear_checkpoints_forever(worker.sessions, worker.studio.store))
    if worker.models is not None:
        bridge.start(prefetch(worker.models, split_words(settings.worker_prefetch)))
    queues = [*map(queue_of_pool, settings.pools), UPKEEP_QUEUE]

    def stop_claiming(**_signal: object) -> None:
        bridge.loop.call_soon_threadsafe(worker.stopping.set)

    signals.worker_shutting_down.connect(stop_claiming)
    run_worker(
        celery,
        queues=queues,
        threads=settings.worker_concurrency,
        log_level=settings.log_level,
    )


if __name__ == "__main__":
    main()
