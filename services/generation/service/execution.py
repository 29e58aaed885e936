"""One attempt of one job: claim, work under a lease, close in one transaction."""

import asyncio
import contextlib
import enum
import itertools
import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prometheus_client import Counter, Histogram

from libs.credits.pricing import executed_price, load_price_book
from libs.db.engine import Sessions
from libs.db.outages import is_away
from libs.storage.objects import StorageUnavailable
from libs.telemetry.logs import get_logger
from libs.triton.errors import (
    EngineStalled,
    EngineUnhealthy,
    InvalidGeneration,
    Retryable,
    TritonError,
)
from services.generation.attempts import (
    ENGINE_FAILED,
    MAX_FAILURES,
    PART_AWAY,
    WORKER_STOPS,
    part_away_seconds,
    retry_delay_seconds,
)
from services.generation.models import Job, JobState
from services.generation.repository import leases
from services.generation.resolution import work_of
from services.generation.schemas import ResolvedRequest
from services.generation.service.drawing import Drawing, Studio, draw_images
from services.generation.service.endings import finish_job, hand_back_job, write_down

log = get_logger(__name__)
TURN_SECONDS = 5.0
RENEW_SECONDS = 1.0
STOP_GRACE_SECONDS = 2.0
CANCEL_AGAIN_SECONDS = 0.2
CLAIMS = itertools.count(1)
MEND_SECONDS = 10.0  # less than a lease
attempts = Counter("easel_job_attempts_total", "Attempts of jobs by outcome", ("outcome",))
attempt_seconds = Histogram("easel_job_attempt_seconds", "From claim to closing transaction")
WAIT_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1800, 3600)
queue_wait = Histogram(
    "easel_queue_wait_seconds",
    "From acceptance to the first start",
    ("tier",),
    buckets=WAIT_BUCKETS,
)


class Interruption(enum.Enum):
    """Why an attempt ends before its pictures are drawn."""

    CANCELLED = "cancelled"
    LEASE_LOST = "lease lost"
    STOPPING = "stopping"


@dataclass(frozen=True)
class Worker:
    """One worker process beside one Triton server; `stopping` is set at SIGTERM.

    It runs up to `slots` jobs at once. `loaded` are the models that its engine has drawn with.
    """

    name: str
    pools: tuple[str, ...]
    slots: int
    sessions: Sessions
    studio: Studio
    stopping: asyncio.Event
    loaded: set[str] = field(default_factory=set)


async def work_until_idle(worker: Worker, *, turn_seconds: float = math.inf) -> str | None:
    """Run due jobs one after another until there is none, Triton is away, or the worker stops.

    When the turn is over before that: the pool of the last job, where more may be due.
    """
    turn_ends = time.monotonic() + turn_seconds
    while not worker.stopping.is_set() and await worker.studio.triton.is_ready():
        job = await claim_job(worker)
        if job is None:
            return None
        with attempt_seconds.time():
            await attempt_job(worker, job)
        if time.monotonic() >= turn_ends:
            return job.pool
    return None


async def claim_job(worker: Worker) -> Job | None:
    """Claim what is due by fair order in the first pool that has something."""
    for pool in worker.pools:
        async with worker.sessions.begin() as session:
            job = await leases.claim_next(
                session,
                pool=pool,
                worker=f"{worker.name}/{next(CLAIMS)}",  # a fence that no two attempts share
                loaded=tuple(worker.loaded),
            )
        if job is not None:
            observe_wait(job)
            return job
    return None


def observe_wait(job: Job) -> None:
    """Count how long a job waited for its first attempt."""
    if job.attempt == 1 and job.started_at is not None:
        waited = (job.started_at - job.created_at).total_seconds()
        queue_wait.labels(job.tier).observe(max(0.0, waited))


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
        if await mend_engine(worker):
            await retry_or_fail(worker, drawing)
        else:
            await wait_for_part(worker, drawing)
    except (Retryable, StorageUnavailable) as error:
        log.warning("attempt_interrupted", job_id=str(job.id), error=repr(error))
        await wait_for_part(worker, drawing)
    except Exception as error:
        log.exception("attempt_failed", job_id=str(job.id), error=repr(error))
        await retry_or_fail(worker, drawing)
    else:
        await end_attempt(worker, drawing, interruption)


async def end_attempt(worker: Worker, drawing: Drawing, interruption: Interruption | None) -> None:
    """Close or hand back an attempt that ended without a failure. Raises LeaseLost."""
    if interruption is None:
        worker.loaded.add(drawing.job.model)
        await close_job(worker, drawing, "succeeded")
    elif interruption is Interruption.CANCELLED:
        await close_job(worker, drawing, "cancelled")
    elif interruption is Interruption.STOPPING:
        await hand_back(worker, drawing, WORKER_STOPS, delay_seconds=0)
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
        await asyncio.gather(end_task(draw), end_task(keep))


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended.

    Once is not enough: `asyncio.wait_for` of Python 3.11 drops a cancellation that arrives just as
    its work is done, and the Redis client sends through it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)


async def keep_lease(worker: Worker, job: Job) -> Interruption:
    """Renew every second until there is a reason to stop drawing."""
    claim = leases.claim_of(job)
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
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("renewal_failed", job_id=str(job.id), error=repr(error))


async def close_job(
    worker: Worker, drawing: Drawing, state: JobState, error: dict[str, str] | None = None
) -> None:
    """End the job with what was delivered; a failed one is free. Raises LeaseLost."""
    job, failed = drawing.job, state == "failed"
    steps = 0 if failed else drawing.executed_steps()
    prices = load_price_book(job.price_version)
    captured = executed_price(work_of(drawing.request, job.base), steps, prices)
    drawing.mark("settle")
    end = partial(
        finish_job,
        job=job,
        state=state,
        captured=min(captured, job.quoted_millicredits),
        images=() if failed else drawing.images,
        error=error,
        marks=drawing.marks,
    )
    await write_down(worker.sessions, job, end)
    attempts.labels(state).inc()


async def hand_back(
    worker: Worker,
    drawing: Drawing,
    reason: dict[str, str],
    *,
    delay_seconds: float,
    failures: int = 0,
) -> None:
    """Queue the job again. Raises LeaseLost."""
    end = partial(
        hand_back_job,
        job=drawing.job,
        reason=reason,
        delay_seconds=delay_seconds,
        failures=failures,
        marks=drawing.marks,
    )
    await write_down(worker.sessions, drawing.job, end)
    attempts.labels(reason["slug"]).inc()


async def wait_for_part(worker: Worker, drawing: Drawing) -> None:
    """A part is away: hand the job back, for longer each time, and count no failure."""
    delay = part_away_seconds(drawing.job.attempt)
    await hand_back(worker, drawing, PART_AWAY, delay_seconds=delay)


async def retry_or_fail(worker: Worker, drawing: Drawing) -> None:
    """The engine failed on this job: rest and try again, or give up with what was delivered."""
    job = drawing.job
    if job.failures + 1 < MAX_FAILURES:
        delay = retry_delay_seconds(job.failures)
        await hand_back(worker, drawing, ENGINE_FAILED, delay_seconds=delay, failures=1)
    elif drawing.images:
        drawing.steps_of_current = 0
        await close_job(worker, drawing, "partial", ENGINE_FAILED)
    else:
        await close_job(worker, drawing, "failed", ENGINE_FAILED)


async def mend_engine(worker: Worker) -> bool:
    """Load the model anew, since Triton never restarts an engine that died; whether it works.

    Takes less time than a lease: the job that met the broken engine is still ours after it.
    """
    try:
        async with asyncio.timeout(MEND_SECONDS):
            if await worker.studio.triton.reload():
                worker.loaded.clear()
    except (TritonError, TimeoutError) as error:
        log.error("engine_not_mended", error=repr(error))
        return False
    return True
