"""One attempt of one job: claim, work under a lease, close in one transaction."""

import asyncio
import contextlib
import enum
import itertools
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from prometheus_client import Histogram

from libs.db.engine import Sessions
from libs.db.outages import is_away
from libs.kernel.clock import utc_now
from libs.moderation.findings import ModerationUnavailable
from libs.storage.objects import StorageUnavailable
from libs.telemetry.logs import get_logger
from libs.triton.client import TritonClient
from libs.triton.errors import (
    EngineStalled,
    EngineUnhealthy,
    HandedBack,
    InvalidGeneration,
    Retryable,
    TritonError,
)
from services.generation.attempts import WORKER_STOPS, engine_deaths
from services.generation.models import Job
from services.generation.picture_inputs import fetch_inputs
from services.generation.repository import leases
from services.generation.schemas import ResolvedRequest
from services.generation.service.checkpoints import Keeper
from services.generation.service.closing import (
    attempts,
    close_drawn,
    close_job,
    give_up,
    hand_back,
    retry_or_fail,
    suspect_or_give_up,
    wait_for_part,
)
from services.generation.service.drawing import (
    Studio,
    draw_images,
    end_delivery,
    note_undelivered,
    request_id_of,
    take_up,
)
from services.generation.service.drawn import Drawing
from services.generation.service.engine_room import Places, Watchdog, require_engine
from services.generation.service.model_folders import ModelFolders
from services.generation.service.tasks import end_task

log = get_logger(__name__)
TURN_SECONDS = 5.0
RENEW_SECONDS = 1.0
STOP_GRACE_SECONDS = 2.0
DRAIN_AGAIN_SECONDS = 0.25
DELIVERY_SECONDS = 3.0  # that a cancelled job gives an image that is finished
CLAIMS = itertools.count(1)
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

    It runs up to `slots` jobs at once. `loaded` are the models that its engine has in memory,
    `models` where it fetches others.
    """

    name: str
    pools: tuple[str, ...]
    slots: int
    sessions: Sessions
    studio: Studio
    stopping: asyncio.Event
    loaded: set[str] = field(default_factory=set)
    places: Places = field(default_factory=Places)
    restart_command: str = ""
    models: ModelFolders | None = None
    watchdog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        watchdog = Watchdog(self.studio.triton, self.restart_command)
        object.__setattr__(self, "watchdog", watchdog)

    async def is_ready(self) -> bool:
        """Whether it may claim a job and its engine would draw it."""
        is_free = self.places.are_open and not self.watchdog.is_mending
        is_free = is_free and not (self.models and self.models.waits_for_room)
        return is_free and not self.stopping.is_set() and await self.studio.triton.is_ready()


async def work_until_idle(worker: Worker, *, turn_seconds: float = math.inf) -> str | None:
    """Run due jobs one after another until there is none, Triton is away, or the worker stops.

    When the turn is over before that: the pool of the last job, where more may be due.
    """
    turn_ends = time.monotonic() + turn_seconds
    while await worker.is_ready():
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
    keeper = Keeper(worker.studio.store, job)
    try:
        await draw_and_settle(worker, drawing, keeper)
    except leases.LeaseLost:
        log.warning("lease_lost", job_id=str(job.id), attempt=job.attempt)
        attempts.labels("lease lost").inc()


async def draw_and_settle(worker: Worker, drawing: Drawing, keeper: Keeper) -> None:
    """Draw, then write down what came of it. Raises LeaseLost when that is not ours to write."""
    job, sessions = drawing.job, worker.sessions
    try:
        interruption = await draw_under_lease(worker, drawing, keeper)
    except InvalidGeneration as error:
        refused = {"slug": "request-refused", "detail": str(error)}
        await give_up(sessions, drawing, keeper, refused)
    except HandedBack:
        await end_attempt(worker, drawing, keeper, Interruption.STOPPING)
    except (EngineUnhealthy, EngineStalled) as error:
        log.error("engine_broken", job_id=str(job.id), error=repr(error))
        mending = asyncio.create_task(worker.watchdog.mend())
        try:
            await keeper.store_last()
            await suspect_or_give_up(sessions, drawing, keeper)
        finally:
            await mending
    except (Retryable, StorageUnavailable, ModerationUnavailable) as error:
        log.warning("attempt_interrupted", job_id=str(job.id), error=repr(error))
        await keeper.store_last()
        await note_undelivered(drawing, keeper)
        await wait_for_part(sessions, drawing)
    except Exception as error:
        log.exception("attempt_failed", job_id=str(job.id), error=repr(error))
        await retry_or_fail(sessions, drawing, keeper)
    else:
        await end_attempt(worker, drawing, keeper, interruption)


async def end_attempt(
    worker: Worker, drawing: Drawing, keeper: Keeper, interruption: Interruption | None
) -> None:
    """Close or hand back an attempt that ended without a failure. Raises LeaseLost."""
    if drawing.is_whole:
        worker.watchdog.note_picture()
        worker.loaded.add(drawing.job.model)
        await close_drawn(worker.sessions, drawing, keeper)
    elif interruption is Interruption.CANCELLED:
        await note_undelivered(drawing, keeper)
        await close_job(worker.sessions, drawing, keeper, "cancelled")
    elif interruption is Interruption.LEASE_LOST:
        raise leases.LeaseLost(str(drawing.job.id))
    else:
        await keeper.store_last()
        await hand_back(worker.sessions, drawing, WORKER_STOPS, delay_seconds=0)


async def draw_under_lease(worker: Worker, drawing: Drawing, keeper: Keeper) -> Interruption | None:
    """Draw and renew side by side; None when drawing has ended. Raises what drawing raises."""
    draw = asyncio.create_task(draw_in_place(worker, drawing, keeper))
    keep = asyncio.create_task(keep_lease(worker, drawing))
    interruption = None
    try:
        await asyncio.wait({draw, keep}, return_when=asyncio.FIRST_COMPLETED)
        if draw.done():
            draw.result()
            return None
        interruption = keep.result()
        return interruption
    finally:
        await asyncio.gather(end_task(draw), end_task(keep))
        is_cancelled = interruption is Interruption.CANCELLED
        await end_delivery(drawing, DELIVERY_SECONDS if is_cancelled else 0)


async def draw_in_place(worker: Worker, drawing: Drawing, keeper: Keeper) -> None:
    """Draw what is missing, until it is whole or the worker stops. Raises what drawing raises."""
    state = await take_up(worker.studio, drawing)
    is_suspect = engine_deaths(drawing.job) > 0
    async with model_in_place(worker, drawing), worker.places.take(alone=is_suspect):
        if is_suspect:
            await require_engine(worker.studio.triton)
        drawing.files = await fetch_inputs(
            worker.sessions, worker.studio.store, drawing.job.user_id, drawing.request
        )
        with keeper.at_work():
            await draw_images(worker.studio, drawing, keeper, worker.stopping, state)


@contextlib.asynccontextmanager
async def model_in_place(worker: Worker, drawing: Drawing) -> AsyncIterator[None]:
    """The model's files are there inside the block, fetched if need be."""
    if worker.models is None:
        yield
        return
    begun = utc_now()
    async with worker.models.using(drawing.request.model) as was_fetched:
        if was_fetched:
            drawing.mark("model_fetch", begun)
            drawing.mark("claimed")
        yield


async def keep_lease(worker: Worker, drawing: Drawing) -> Interruption:
    """Renew every second until there is a reason to stop drawing."""
    claim = leases.claim_of(drawing.job)
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(worker.stopping.wait(), RENEW_SECONDS)
            await let_go(worker.studio.triton, drawing)
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
            log.warning("renewal_failed", job_id=str(drawing.job.id), error=repr(error))


async def let_go(triton: TritonClient, drawing: Drawing) -> None:
    """Have the engine hand the picture back at its next step; the drawing ends by that.

    More than once, since the picture may just be on its way to the engine, or the next one.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_GRACE_SECONDS):
            while True:
                with contextlib.suppress(TritonError):
                    await triton.drain([request_id_of(drawing)])
                await asyncio.sleep(DRAIN_AGAIN_SECONDS)
