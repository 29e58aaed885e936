"""Progress for whoever watches a job; it never goes backward, however often an attempt ends."""

import asyncio
import base64
import contextlib
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.events.streams import job_stream, publish_event, read_last
from libs.events.topics import Event, Topic
from libs.triton.contract import Progress
from services.generation.image_files import encode_preview
from services.generation.models import Job
from services.generation.service.drawn import NOTHING_TOLD, Drawing

TELL_SECONDS = 0.25  # a Redis that hangs must not hold up the drawing


async def tell(redis: Redis, job: Job, topic: Topic, data: dict[str, Any]) -> None:
    """Publish progress as far as Redis is there: a lost progress event costs nothing."""
    event = Event(topic=topic, user_id=job.user_id, job_id=job.id, data=data)
    with contextlib.suppress(RedisError, OSError):
        async with asyncio.timeout(TELL_SECONDS):
            await publish_event(redis, event)


async def tell_progress(redis: Redis, drawing: Drawing, index: int, progress: Progress) -> None:
    """Publish a step of an image, unless the owner has seen it from an earlier attempt."""
    reached = (index, progress.step)
    if reached > drawing.told:
        drawing.told = reached
        await tell(redis, drawing.job, "job.progressed", progress_data(index, progress))


async def last_told(redis: Redis, job: Job) -> tuple[int, int]:
    """The image and the step that an earlier attempt told last, as far as Redis remembers."""
    with contextlib.suppress(RedisError, OSError):
        async with asyncio.timeout(TELL_SECONDS):
            event = await read_last(redis, job_stream(job.id), "job.progressed")
            if event is not None:
                return int(event.data["image"]), int(event.data["step"])
    return NOTHING_TOLD


def progress_data(index: int, progress: Progress) -> dict[str, Any]:
    """The data of a `progress` event; `preview` is a tiny PNG as a data URL, now and then."""
    data = {"image": index, "step": progress.step, "steps": progress.steps}
    if progress.preview is None:
        return data
    encoded = base64.b64encode(encode_preview(progress.preview)).decode()
    return {**data, "preview": f"data:image/png;base64,{encoded}"}
