"""What is left of a job that has ended without the worker that kept it: cancelled while it waited,
expired, given up by the sweeper, erased with its owner."""

import asyncio
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.storage.objects import ObjectStore
from libs.telemetry.logs import get_logger
from services.gallery.client.images import find_object_keys
from services.generation.models import Job
from services.generation.repository import leases
from services.generation.schemas import ResolvedRequest
from services.generation.service.checkpoints import PAGES, ROOT, folder_of
from services.generation.service.storing import image_id_of, object_keys

log = get_logger(__name__)
ROUND_SECONDS = 60.0
JOB_SECONDS = 10.0


async def clear_checkpoints_forever(sessions: Sessions, store: ObjectStore) -> None:
    """Delete what belongs to no job under way, every minute; outages end one round."""
    while True:
        await asyncio.sleep(ROUND_SECONDS)
        try:
            await clear_checkpoints(sessions, store)
        except Exception as error:  # noqa: BLE001 - whatever is away, try again
            log.warning("checkpoints_not_cleared", error=repr(error))


async def clear_checkpoints(sessions: Sessions, store: ObjectStore) -> int:
    """Delete what belongs to no job under way; of how many jobs. One that cannot be cleared now
    holds up no other. Raises StorageUnavailable when the keys cannot be read."""
    kept = {owner for key in await store.list_keys(ROOT) if (owner := owner_of(key))}
    if not kept:
        return 0
    async with sessions.begin() as session:
        under_way = await leases.jobs_under_way(session, {job for _, job in kept})
    ended = {(user, job) for user, job in kept if job not in under_way}
    return sum([await try_to_clear(sessions, store, user, job) for user, job in ended])


async def try_to_clear(sessions: Sessions, store: ObjectStore, user: UUID, job_id: UUID) -> bool:
    """Whether what is left of a job could be deleted."""
    try:
        await clear_job(sessions, store, user, job_id)
    except Exception as error:  # noqa: BLE001 - it is tried again in the next round
        log.warning("job_not_cleared", job_id=str(job_id), error=repr(error))
        return False
    return True


async def clear_job(sessions: Sessions, store: ObjectStore, user: UUID, job_id: UUID) -> None:
    """Delete what is left of a job that has ended. Raises StorageUnavailable, TimeoutError.

    It is locked meanwhile: a failed one may be queued again, and then what is there counts.
    """
    async with asyncio.timeout(JOB_SECONDS), transaction(sessions, user) as session:
        job = await leases.lock_ended(session, job_id)
        if job is not None:
            await delete_undelivered(session, store, job)
        elif await leases.jobs_under_way(session, {job_id}):
            return
        await store.delete_below(folder_of(user, job_id), pages=PAGES)


async def delete_undelivered(session: AsyncSession, store: ObjectStore, job: Job) -> None:
    """Delete the files of images that were drawn for a job and are in nobody's gallery."""
    request = ResolvedRequest.model_validate(job.request)
    images = {image_id_of(job, place) for place in range(request.num_images)}
    for image_id in images.difference(await find_object_keys(session, images)):
        await store.delete(*object_keys(job, image_id, request.format))


def owner_of(key: str) -> tuple[UUID, UUID] | None:
    """The user and the job of a key; None for one that is not ours."""
    user, _, rest = key.removeprefix(ROOT).partition("/")
    try:
        return UUID(user), UUID(rest.partition("/")[0])
    except ValueError:
        return None
