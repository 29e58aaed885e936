"""One attempt of one job: claim, work under a lease, close in one transaction."""

import asyncio
import contextlib
import enum
from dataclasses import dataclass

from prometheus_client import Counter, Histogram
from sqlalchemy.exc import SQLAlchemyError

from libs.credits.ledger import settle_hold
from libs.credits.pricing import executed_price
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.events.topics import Event
from libs.jobs.outbox import add_event
from libs.storage.objects import StorageUnavailable
from libs.telemetry.logs import get_logger
from libs.tiers.catalogue import load_catalogue
from libs.triton.errors import (
    EngineStalled,
    EngineUnhealthy,
    InvalidGeneration,
    Retryable,
    TritonError,
)
from services.gallery.client.images import record_image
from services.generation.answers import finished_event
from services.generation.attempts import (
    ENGINE_FAILED,
    MAX_FAILURES,
    PART_AWAY,
    PART_AWAY_SECONDS,
    WORKER_STOPS,
    requeued_event,
    retry_delay_seconds,
)
from services.generation.models import Job, JobState
from services.generation.repository import leases
from services.generation.resolution import work_of
from services.generation.schemas import ResolvedRequest
from services.generation.service.drawing import Drawing, Studio, draw_images

log = get_logger(__name__)
RENEW_SECONDS = 1.0
STOP_GRACE_SECONDS = 2.0
attempts = Counter("easel_job_attempts_total", "Attempts of jobs by outcome", ("outcome",))
attempt_seconds = Histogram("easel_job_attempt_seconds", "From claim to closing transaction")


class Interruption(enum.Enum):
    """Why an attempt ends before its pictures are drawn."""

    CANCELLED = "cancelled"
    LEASE_LOST = "lease lost"
    STOPPING = "stopping"


@dataclass(frozen=True)
class Worker:
    """One worker process beside one Triton server; `stopping` is set at SIGTERM."""

    name: str
    pool: str
    sessions: Sessions
    studio: Studio
    stopping: asyncio.Event


async def work_until_idle(worker: Worker) -> None:
    """Run due jobs one after another until there is none, Triton is away, or the worker stops."""
    while not worker.stopping.is_set() and await worker.studio.triton.is_ready():
        job = await claim_job(worker)
        if job is None:
            return
        with attempt_seconds.time():
            await attempt_job(worker, job)


async def claim_job(worker: Worker) -> Job | None:
    """Claim what is due by fair order, in a transaction of its own."""
    async with worker.sessions.begin() as session:
        return await leases.claim_next(
            session, pool=worker.pool, worker=worker.name, tiers=load_catalogue().tiers
        )


async def attempt_job(worker: Worker, job: Job) -> None:
    """Draw while the lease is kept; end in exactly one of: closed, handed back, or lost."""
    drawing = Drawing(job, ResolvedRequest.model_validate(job.request))
    try:
        await draw_and_settle(worker, drawing)
    except leases.LeaseLost:
        log.warning("lease_lost", job_id=str(job.id), attempt=job.attempt)
        attempts.labels("lease lost").inc()


async def draw_and_settle(worker: Worker, drawing: Drawing) -> None:
    """Draw, then write down what came of it. Raises LeaseLost when that is not ours to write."""
    job = drawing.job
    try:
        interruption = await draw_under_lease(worker, drawing)
    except InvalidGeneration as error:
        refused = {"slug": "request-refused", "detail": str(error)}
        await close_job(worker, drawing, "failed", refused)
    except (EngineUnhealthy, EngineStalled) as error:
        log.error("engine_broken", job_id=str(job.id), error=repr(error))
        await retry_or_fail(worker, drawing)
        await mend_engine(worker)
    except (Retryable, StorageUnavailable) as error:
        log.warning("attempt_interrupted", job_id=str(job.id), error=repr(error))
        await hand_back(worker, job, PART_AWAY, delay_seconds=PART_AWAY_SECONDS)
    except TritonError as error:
        log.error("attempt_failed", job_id=str(job.id), error=repr(error))
        await retry_or_fail(worker, drawing)
    else:
        await end_attempt(worker, drawing, interruption)


async def end_attempt(worker: Worker, drawing: Drawing, interruption: Interruption | None) -> None:
    """Close or hand back an attempt that ended without a failure. Raises LeaseLost."""
    if interruption is None:
        await close_job(worker, drawing, "succeeded")
    elif interruption is Interruption.CANCELLED:
        await close_job(worker, drawing, "cancelled")
    elif interruption is Interruption.STOPPING:
        await hand_back(worker, drawing.job, WORKER_STOPS, delay_seconds=0)
    else:
        raise leases.LeaseLost(str(drawing.job.id))


async def draw_under_lease(worker: Worker, drawing: Drawing) -> Interruption | None:
    """Draw and renew side by side; None when all images are drawn. Raises what drawing raises."""
    draw = asyncio.create_task(draw_images(worker.studio, drawing))
    keep = asyncio.create_task(keep_lease(worker, drawing.job))
    try:
        await asyncio.wait({draw, keep}, return_when=asyncio.FIRST_COMPLETED)
        if draw.done():
            draw.result()
            return None
        return keep.result()
    finally:
        for task in (draw, keep):
            task.cancel()
        await asyncio.gather(draw, keep, return_exceptions=True)


async def keep_lease(worker: Worker, job: Job) -> Interruption:
    """Renew every second until there is a reason to stop drawing."""
    claim = leases.Claim(job.id, job.attempt)
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(worker.stopping.wait(), RENEW_SECONDS)
            await asyncio.sleep(STOP_GRACE_SECONDS)
            return Interruption.STOPPING
        try:
            async with worker.sessions.begin() as session:
                if await leases.renew(session, claim):
                    return Interruption.CANCELLED
        except leases.LeaseLost:
            return Interruption.LEASE_LOST
        except (SQLAlchemyError, OSError) as error:
            log.warning("renewal_failed", job_id=str(job.id), error=repr(error))


async def close_job(
    worker: Worker, drawing: Drawing, state: JobState, error: dict[str, str] | None = None
) -> None:
    """The closing transaction: state, images, capture and release, events. Raises LeaseLost."""
    job = drawing.job
    steps = drawing.executed_steps() if state != "failed" else 0
    captured = executed_price(work_of(drawing.request, job.base), steps)
    captured = min(captured, job.quoted_millicredits)
    images = drawing.images if state != "failed" else []
    async with transaction(worker.sessions, job.user_id) as session:
        await leases.finish(
            session,
            leases.Claim(job.id, job.attempt),
            state=state,
            captured=captured,
            images_done=len(images),
            error=error,
        )
        for image in images:
            await record_image(session, image)
            await add_event(session, image_event(job, str(image.id)))
        await settle_hold(session, user_id=job.user_id, hold_id=job.id, captured=captured)
        closed = await session.get_one(Job, job.id, populate_existing=True)
        await add_event(session, finished_event(closed))
    attempts.labels(state).inc()


async def hand_back(
    worker: Worker, job: Job, reason: dict[str, str], *, delay_seconds: float, failures: int = 0
) -> None:
    """Queue the job again; what was drawn is drawn again, free of charge. Raises LeaseLost."""
    claim = leases.Claim(job.id, job.attempt)
    async with transaction(worker.sessions, job.user_id) as session:
        await leases.hand_back(session, claim, delay_seconds=delay_seconds, failures=failures)
        await add_event(session, requeued_event(job, reason))
    attempts.labels(reason["slug"]).inc()


async def retry_or_fail(worker: Worker, drawing: Drawing) -> None:
    """The engine failed on this job: rest and try again, or give up with what was delivered."""
    job = drawing.job
    if job.failures + 1 < MAX_FAILURES:
        delay = retry_delay_seconds(job.failures)
        await hand_back(worker, job, ENGINE_FAILED, delay_seconds=delay, failures=1)
    elif drawing.images:
        drawing.steps_of_current = 0
        await close_job(worker, drawing, "partial", ENGINE_FAILED)
    else:
        await close_job(worker, drawing, "failed", ENGINE_FAILED)


async def mend_engine(worker: Worker) -> None:
    """Load the model anew: Triton never restarts an engine whose process died."""
    try:
        await worker.studio.triton.reload()
    except TritonError as error:
        log.error("engine_not_mended", error=repr(error))


def image_event(job: Job, image_id: str) -> Event:
    """Tells the owner that an image is in the gallery."""
    data = {"image_id": image_id}
    return Event(topic="image.created", user_id=job.user_id, job_id=job.id, data=data)
