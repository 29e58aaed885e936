"""How an attempt ends, each way in one transaction of its own: finished, or back in the queue."""

from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.ledger import settle_hold
from libs.db.engine import Sessions
from libs.db.outages import outlast
from libs.db.transaction import transaction
from libs.events.topics import Event
from libs.jobs.outbox import add_event
from libs.telemetry.logs import get_logger
from services.gallery.client.images import ImageRecord, record_image
from services.generation.attempts import requeued_event
from services.generation.client.tier_changes import announce_tier_change
from services.generation.models import Job, JobState, Mark
from services.generation.repository import leases
from services.generation.service.announcements import announce_end

log = get_logger(__name__)


async def finish_job(
    session: AsyncSession,
    job: Job,
    state: JobState,
    *,
    captured: int = 0,
    images: Sequence[ImageRecord] = (),
    error: dict[str, str] | None = None,
    marks: Sequence[Mark] = (),
) -> None:
    """Write the final state, the images, capture and release, and the events.

    The session's tenant is the job's owner. Raises LeaseLost, upon which all of it rolls back.
    """
    await leases.finish(
        session,
        leases.claim_of(job),
        state=state,
        captured=captured,
        images_done=len(images),
        error=error,
        marks=marks,
    )
    for image in images:
        await record_image(session, image)
        await add_event(session, image_event(job, image))
    hold_id = job.paying_hold
    if not await settle_hold(session, user_id=job.user_id, hold_id=hold_id, captured=captured):
        log.error("hold_ended_before_its_job", job_id=str(job.id))
        await leases.forgo(session, job.id)  # it was released: the images are free
    closed = await session.get_one(Job, job.id, populate_existing=True)
    await announce_end(session, closed)
    await leases.give_back(session, job, executed=captured)


async def hand_back_job(
    session: AsyncSession,
    job: Job,
    reason: dict[str, str],
    *,
    has_begun: bool = False,
    delay_seconds: float = 0,
    failures: int = 0,
    marks: Sequence[Mark] = (),
) -> None:
    """Queue the job again; one whose owner wants it cancelled ends here, free of charge.

    What was drawn is drawn again and charged once. Raises LeaseLost.
    """
    claim = leases.claim_of(job)
    if await leases.lock_claimed(session, claim):
        await finish_job(session, job, "cancelled", marks=marks)
        return
    await leases.hand_back(
        session,
        claim,
        reason=reason["slug"],
        delay_seconds=delay_seconds,
        failures=failures,
        has_begun=has_begun,
        marks=marks,
    )
    await add_event(session, requeued_event(job, reason))
    await announce_tier_change(session, job.user_id)  # it may have changed while the job ran
    await leases.give_back(session, job, executed=0)


async def write_down(
    sessions: Sessions, job: Job, end: Callable[[AsyncSession], Awaitable[None]]
) -> None:
    """End an attempt in one transaction of the job's owner. Raises LeaseLost.

    What was drawn is not thrown away for a database that restarts; the fence says if it is late.
    """

    async def once() -> None:
        async with transaction(sessions, job.user_id) as session:
            await end(session)

    await outlast(once, seconds=leases.LEASE_SECONDS)


def image_event(job: Job, image: ImageRecord) -> Event:
    """Tells the owner that an image is in the gallery."""
    data = {"image_id": str(image.id)}
    return Event(topic="image.created", user_id=job.user_id, job_id=job.id, data=data)
