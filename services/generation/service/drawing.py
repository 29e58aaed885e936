"""Drawing the images of a claimed job: Triton in, stored pictures out. No transaction is open."""

import asyncio
import base64
import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.events.streams import publish_event
from libs.events.topics import Event, Topic
from libs.kernel.clock import utc_now
from libs.kernel.ids import derive_id
from libs.storage.objects import ObjectStore
from libs.triton.client import TritonClient
from libs.triton.contract import Done, Progress, Started
from libs.triton.contract import GenerationRequest as EngineRequest
from libs.triton.errors import GenerationFailed
from services.gallery.client.images import ImageRecord
from services.generation.image_files import (
    MEDIA_TYPES,
    Pixels,
    encode_image,
    encode_preview,
    encode_thumbnail,
)
from services.generation.models import Job, Mark
from services.generation.resolution import seed_of_image
from services.generation.schemas import ResolvedRequest

PREVIEW_EVERY_STEPS = 5
TELL_SECONDS = 0.25  # a Redis that hangs must not hold up the drawing


@dataclass
class Drawing:
    """What an attempt has done so far: finished images, and steps of the one in the making."""

    job: Job
    request: ResolvedRequest
    images: list[ImageRecord] = field(default_factory=list)
    steps_of_current: int = 0
    marks: list[Mark] = field(default_factory=list)

    def mark(self, name: str, at: datetime | None = None, **details: Any) -> Mark:
        """Note a moment of the attempt; it is written down when the attempt ends."""
        mark = {"name": name, "at": (at or utc_now()).isoformat(), **details}
        self.marks.append(mark)
        return mark

    def executed_steps(self) -> int:
        """Denoising steps whose result is kept."""
        return len(self.images) * self.request.steps + self.steps_of_current


@dataclass(frozen=True)
class Studio:
    """What drawing needs: the engine, the store, the streams."""

    triton: TritonClient
    store: ObjectStore
    redis: Redis


async def draw_images(studio: Studio, drawing: Drawing) -> None:
    """Draw what is missing of a job, image by image.

    Raises TritonError (`libs.triton.errors`) and StorageUnavailable.
    """
    await tell(studio, drawing.job, "job.started", {"attempt": drawing.job.attempt})
    while len(drawing.images) < drawing.request.num_images:
        index = len(drawing.images)
        if index:
            drawing.mark("claimed", image=index)
        pixels = await draw_image(studio, drawing, index)
        record = await store_image(studio.store, drawing, index, pixels)
        drawing.images.append(record)
        drawing.steps_of_current = 0


async def draw_image(studio: Studio, drawing: Drawing, index: int) -> Pixels:
    """One image from the engine, `[height, width, 3]` uint8; tells every step."""
    request = drawing.request
    wanted = EngineRequest(
        model=request.model,
        task=request.task,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=request.width,
        height=request.height,
        steps=request.steps,
        guidance=request.guidance,
        scheduler=request.scheduler,
        seed=seed_of_image(request, index),
        progress_every=PREVIEW_EVERY_STEPS,
    )
    async with contextlib.aclosing(studio.triton.generate(wanted, str(drawing.job.id))) as replies:
        steps: Mark = {}
        async for reply in replies:
            if isinstance(reply, Started):
                steps = drawing.mark("steps", image=index, steps=0)
            elif isinstance(reply, Progress):
                drawing.steps_of_current = steps["steps"] = reply.step
                await tell(studio, drawing.job, "job.progressed", progress_data(index, reply))
            elif isinstance(reply, Done):
                mark_end(drawing, steps, reply, index)
                return reply.pixels
    raise GenerationFailed("the stream ended without a picture")


def mark_end(drawing: Drawing, steps: Mark, done: Done, index: int) -> None:
    """Note what the engine tells only at the end: loading before the steps, decoding after them."""
    seconds, now = done.seconds, utc_now()
    steps["steps"] = done.steps
    if seconds.load > 0 and steps in drawing.marks:
        began = datetime.fromisoformat(steps["at"]) - timedelta(seconds=seconds.queue)
        place = drawing.marks.index(steps)
        load = {"name": "model_load", "image": index}
        at = began - timedelta(seconds=seconds.load)
        slot = {"name": "claimed", "image": index, "at": began.isoformat()}
        drawing.marks[place:place] = [{**load, "at": at.isoformat()}, slot]
    drawing.mark("decode", now - timedelta(seconds=seconds.decode), image=index)
    drawing.mark("upload", now, image=index)


def progress_data(index: int, progress: Progress) -> dict[str, Any]:
    """The data of a `progress` event; `preview` is a tiny PNG as a data URL, now and then."""
    data = {"image": index, "step": progress.step, "steps": progress.steps}
    if progress.preview is None:
        return data
    encoded = base64.b64encode(encode_preview(progress.preview)).decode()
    return {**data, "preview": f"data:image/png;base64,{encoded}"}


async def tell(studio: Studio, job: Job, topic: Topic, data: dict[str, Any]) -> None:
    """Publish progress as far as Redis is there: a lost progress event costs nothing."""
    event = Event(topic=topic, user_id=job.user_id, job_id=job.id, data=data)
    with contextlib.suppress(RedisError, OSError):
        async with asyncio.timeout(TELL_SECONDS):
            await publish_event(studio.redis, event)


def object_key(user_id: UUID, image_id: UUID, created: str, extension: str) -> str:
    """`{user_id}/{yyyy}/{mm}/{image_id}.{ext}`: from ids alone, so that a repeat overwrites."""
    return f"{user_id}/{created}/{image_id}.{extension}"


def image_parameters(drawing: Drawing, index: int) -> dict[str, Any]:
    """The request that makes exactly this image again."""
    seed = seed_of_image(drawing.request, index)
    request = drawing.request.model_dump(mode="json", exclude={"metadata", "webhook_id"})
    return {**request, "seed": seed, "num_images": 1}


async def store_image(
    store: ObjectStore, drawing: Drawing, index: int, pixels: Pixels
) -> ImageRecord:
    """Encode and upload an image and its thumbnail. Raises StorageUnavailable."""
    job, request = drawing.job, drawing.request
    image_id = derive_id(job.id, index)
    parameters = image_parameters(drawing, index)
    body = await asyncio.to_thread(encode_image, pixels, request.format, parameters)
    thumbnail = await asyncio.to_thread(encode_thumbnail, pixels)
    month = f"{job.created_at:%Y/%m}"
    key = object_key(job.user_id, image_id, month, request.format)
    thumbnail_key = object_key(job.user_id, image_id, month, "thumb.webp")
    await asyncio.gather(
        store.put(key, body, content_type=MEDIA_TYPES[request.format]),
        store.put(thumbnail_key, thumbnail, content_type=MEDIA_TYPES["webp"]),
    )
    return ImageRecord(
        id=image_id,
        user_id=job.user_id,
        job_id=job.id,
        object_key=key,
        thumbnail_key=thumbnail_key,
        format=request.format,
        width=request.width,
        height=request.height,
        size_bytes=len(body),
        seed=int(parameters["seed"]),
        model=request.model,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        parameters=parameters,
        manifest={"job_id": str(job.id), "attempt": job.attempt, "worker": job.worker},
        created_at=utc_now(),
    )
