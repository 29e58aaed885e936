"""What an owner does with jobs that exist: read, list, cancel."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.ledger import settle_hold
from libs.kernel.clock import Clock
from libs.web.pagination import Page, PageRequest, make_page
from services.generation.answers import show_job
from services.generation.models import FINAL_STATES, Job, JobState
from services.generation.problems import AlreadyFinished, GenerationNotFound
from services.generation.repository import jobs, leases
from services.generation.schemas import GenerationAnswer
from services.generation.service.announcements import announce_end


async def get_generation(session: AsyncSession, job_id: UUID) -> Job:
    """One of the tenant's jobs. Raises GenerationNotFound, also for other people's jobs."""
    job = await jobs.find_job(session, job_id)
    if job is None:
        raise GenerationNotFound()
    return job


async def list_generations(
    session: AsyncSession, page: PageRequest, *, state: JobState | None, model: str | None
) -> Page[GenerationAnswer]:
    """The tenant's jobs, newest first."""
    rows = await jobs.list_jobs(
        session, limit=page.limit, before=page.before, state=state, model=model
    )
    return make_page(rows, page.limit, show_job, lambda job: job.id)


async def cancel_generation(session: AsyncSession, job_id: UUID, *, clock: Clock) -> Job:
    """Cancel a job: a waiting one at once and free, a running one within a second.

    Cancelling a cancelled job again does nothing. Raises GenerationNotFound, AlreadyFinished.
    """
    job = await jobs.lock_job(session, job_id)
    if job is None:
        raise GenerationNotFound()
    if job.state == "queued":
        # credits before the queue, in the order in which acceptance locks them
        await settle_hold(session, user_id=job.user_id, hold_id=job.paying_hold, captured=0)
        job.state, job.finished_at, job.captured_millicredits = "cancelled", clock(), 0
        await announce_end(session, job)
    elif job.state == "running":
        await leases.request_cancel(session, job)
    elif job.state in FINAL_STATES and job.state != "cancelled":
        raise AlreadyFinished(f"It is {job.state}", state=job.state)
    return job
