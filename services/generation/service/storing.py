"""A finished picture into object storage, under keys that a repeat overwrites."""

import asyncio
from typing import Any
from uuid import UUID

from libs.kernel.clock import utc_now
from libs.kernel.ids import derive_id
from libs.storage.objects import ObjectStore
from libs.triton.contract import Done
from services.gallery.client.images import ImageRecord
from services.generation.image_files import (
    MEDIA_TYPES,
    Pixels,
    encode_image,
    encode_thumbnail,
)
from services.generation.models import Job
from services.generation.resolution import seed_of_image
from services.generation.schemas import ImageFormat
from services.generation.service.checkpoints import Keeper
from services.generation.service.drawn import Drawing


def image_id_of(job: Job, place: int) -> UUID:
    """The id of an image by its place, from 0, among those of the job that are delivered."""
    return derive_id(job.id, place)


def object_keys(job: Job, image_id: UUID, file_format: ImageFormat) -> tuple[str, str]:
    """Where an image and its thumbnail lie, `{user_id}/{yyyy}/{mm}/{image_id}.{ext}`: from ids
    alone, so that a repeat overwrites."""
    stem = f"{job.user_id}/{job.created_at:%Y/%m}/{image_id}"
    return f"{stem}.{file_format}", f"{stem}.thumb.webp"


def image_parameters(drawing: Drawing, index: int) -> dict[str, Any]:
    """The request that makes exactly this image again."""
    seed = seed_of_image(drawing.request, index)
    request = drawing.request.model_dump(mode="json", exclude={"metadata", "webhook_id"})
    return {**request, "seed": seed, "num_images": 1}


def manifest_of(drawing: Drawing, done: Done) -> dict[str, Any]:
    """On what, and how, the engine made a picture."""
    job = drawing.job
    prompt = {"prompt_tokens": done.prompt_tokens, "prompt_chunks": done.prompt_chunks}
    where = {"job_id": str(job.id), "attempt": job.attempt, "worker": job.worker}
    return {**where, **prompt, "made_by": done.made_by}


async def store_image(
    store: ObjectStore | Keeper,
    drawing: Drawing,
    index: int,
    pixels: Pixels,
    manifest: dict[str, Any],
) -> ImageRecord:
    """Encode and upload an image and its thumbnail. Raises StorageUnavailable.

    `index` tells its seed; its id is that of its place among those that are delivered.
    """
    job, request = drawing.job, drawing.request
    image_id = image_id_of(job, len(drawing.images))
    parameters = image_parameters(drawing, index)
    body = await asyncio.to_thread(encode_image, pixels, request.format, parameters)
    thumbnail = await asyncio.to_thread(encode_thumbnail, pixels)
    key, thumbnail_key = object_keys(job, image_id, request.format)
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
        manifest=manifest,
        created_at=utc_now(),
    )
