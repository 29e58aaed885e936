"""Drawing the images of a claimed job: Triton in, stored pictures out. No transaction is open."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from libs.moderation.findings import Moderation
from libs.storage.objects import ObjectStore
from libs.telemetry.logs import get_logger
from libs.tiers.catalogue import TierName, load_catalogue
from libs.triton.client import TritonClient
from libs.triton.contract import (
    LAST_PRIORITY,
    Checkpoint,
    Done,
    Paused,
    Progress,
    Resumed,
    Started,
)
from libs.triton.contract import GenerationRequest as EngineRequest
from libs.triton.errors import GenerationFailed, InvalidGeneration
from services.generation.attempts import may_resume
from services.generation.resolution import seed_of_image
from services.generation.schemas import ResolvedRequest
from services.generation.service.checkpoints import Keeper, SavedState, find_kept, resumed
from services.generation.service.drawn import Drawing, StepMarks
from services.generation.service.storing import manifest_of, store_image
from services.generation.service.tasks import end_task
from services.generation.service.telling import last_told, tell, tell_progress

log = get_logger(__name__)
PREVIEW_EVERY_STEPS = 5
CHECKPOINT_EVERY_STEPS = 5


@dataclass(frozen=True)
class Studio:
    """What drawing needs: the engine, the store, the streams, and who judges what was drawn."""

    triton: TritonClient
    store: ObjectStore
    redis: Redis
    moderation: Moderation = field(default_factory=lambda: Moderation("off"))
    checkpoint_every: int = CHECKPOINT_EVERY_STEPS


def request_id_of(drawing: Drawing) -> str:
    """How the engine calls the image in the making: no other attempt's has that name."""
    return f"{drawing.job.id}:{drawing.job.attempt}:{drawing.index}"


def priority_of(tier: TierName) -> int:
    """The engine's class of a plan: 0 for the largest, which goes first."""
    catalogue = load_catalogue()
    return min(LAST_PRIORITY, len(catalogue.tiers) - 1 - catalogue.rank(tier))


async def draw_images(
    studio: Studio,
    drawing: Drawing,
    keeper: Keeper,
    stopping: asyncio.Event,
    state: SavedState | None,
) -> None:
    """Draw what is missing of a job, image by image, until it is whole or the worker stops.

    `state` is where the first of them had arrived.

    Raises TritonError (`libs.triton.errors`; HandedBack: what was done is kept), StorageUnavailable
    and ModerationUnavailable.
    """
    await tell(studio.redis, drawing.job, "job.started", {"attempt": drawing.job.attempt})
    while not drawing.is_whole and not stopping.is_set():
        if drawing.index:
            drawing.mark("claimed", image=drawing.index)
        done = await draw_or_begin_anew(studio, drawing, keeper, state)
        state = None
        drawing.delivery = asyncio.create_task(deliver(studio, drawing, keeper, done))
        await asyncio.shield(drawing.delivery)


async def take_up(studio: Studio, drawing: Drawing) -> SavedState | None:
    """Go on where earlier attempts ended. Raises StorageUnavailable.

    Where engines failed or died, the image in the making begins anew in the end: it may be its
    state that they fail on.
    """
    job = drawing.job
    if job.attempt == 1:
        drawing.has_looked = True
        return None
    drawing.told = await last_told(studio.redis, job)
    kept = await find_kept(studio.store, job)
    drawing.images, drawing.refused = list(kept.images), kept.refused
    drawing.has_looked = True
    return kept.state if may_resume(job) else None


async def draw_or_begin_anew(
    studio: Studio, drawing: Drawing, keeper: Keeper, state: SavedState | None
) -> Done:
    """One image from the engine, from a saved state if it takes that."""
    if state is not None:
        try:
            done = await draw_image(studio, drawing, keeper, state)
        except InvalidGeneration:  # of another build, say
            resumed.labels("refused").inc()
            drawing.steps_of_current = 0
        else:
            resumed.labels("resumed").inc()
            return done
    return await draw_image(studio, drawing, keeper, None)


async def draw_image(
    studio: Studio, drawing: Drawing, keeper: Keeper, state: SavedState | None
) -> Done:
    """One image from the engine; tells every step, and keeps what would be lost with it."""
    index = drawing.index
    resume = None if state is None else len(drawing.files)
    wanted = engine_request(studio, drawing, resume=resume)
    files = drawing.files if state is None else (*drawing.files, state.body)
    moments = StepMarks(drawing, index)
    stream = studio.triton.generate(wanted, request_id_of(drawing), files)
    async with contextlib.aclosing(stream) as events:
        async for event in events:
            match event:
                case Started():
                    drawing.steps_of_current = 0 if state is None else state.step
                    moments.begin(drawing.steps_of_current)
                case Progress():
                    moments.reach(event.step)
                    await tell_progress(studio.redis, drawing, index, event)
                case Paused() | Resumed():
                    moments.turn(event)
                case Checkpoint():
                    keeper.offer(index, event)
                case Done():
                    moments.end(event)
                    return event
    raise GenerationFailed("the stream ended without a picture")


def engine_request(studio: Studio, drawing: Drawing, *, resume: int | None) -> EngineRequest:
    """What the engine is asked for the next image; files are named by their place. There are no
    previews of what may be blocked when it is finished."""
    request = drawing.request
    return EngineRequest(
        model=request.model,
        task=request.task,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=request.width,
        height=request.height,
        steps=request.steps,
        guidance=request.guidance,
        scheduler=request.scheduler,
        seed=seed_of_image(request, drawing.index),
        progress_every=0 if studio.moderation.may_block_pictures else PREVIEW_EVERY_STEPS,
        priority=priority_of(drawing.job.tier),
        image=None if request.init_image_id is None else 0,
        mask=None if request.mask_image_id is None else 1,
        clip_skip=request.clip_skip,
        tiling=request.tiling,
        checkpoint_every=studio.checkpoint_every,
        resume=resume,
        **beginning_of(request),
    )


def beginning_of(request: ResolvedRequest) -> dict[str, Any]:
    """How much of an image is drawn anew, and what is added around it."""
    beginning: dict[str, Any] = {}
    if request.strength is not None:
        beginning["strength"] = request.strength
    if request.expand is not None:
        margins = request.expand
        beginning["expand"] = (margins.left, margins.top, margins.right, margins.bottom)
    return beginning


async def deliver(studio: Studio, drawing: Drawing, keeper: Keeper, done: Done) -> None:
    """Store a picture, if it may be seen, and note that no attempt needs to draw it again."""
    drawing.is_delivering = True
    index, finding = drawing.index, await studio.moderation.judge_picture(done.pixels)
    if finding is not None:
        drawing.refused += 1
        record = None
    else:
        manifest = manifest_of(drawing, done)
        record = await store_image(keeper, drawing, index, done.pixels, manifest)
        drawing.images.append(record)
    drawing.steps_of_current, drawing.is_delivering = 0, False
    if not drawing.is_whole:
        await keeper.keep_image(index, record)


async def end_delivery(drawing: Drawing, seconds: float) -> None:
    """Nothing more is drawn: give the delivery of a finished image so much time, then end it."""
    delivery = drawing.delivery
    if delivery is not None and not delivery.done():
        await asyncio.wait({delivery}, timeout=seconds)
        await end_task(delivery)
        if not delivery.cancelled() and (error := delivery.exception()):
            log.warning("image_not_delivered", job_id=str(drawing.job.id), error=repr(error))


async def note_undelivered(drawing: Drawing, keeper: Keeper) -> None:
    """Leave a mark for a later round where the files of an image may lie that nobody was given."""
    if drawing.is_delivering:
        await keeper.note_undelivered()
