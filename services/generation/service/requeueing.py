"""An administrator queues a job again that has failed for good."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.auth.principals import Principal
from libs.credits.ledger import hold_credits
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.jobs.celery_app import queue_of_pool
from libs.jobs.outbox import add_event, add_task
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from services.generation.attempts import REQUEUED, requeued_event
from services.generation.client.tier_changes import announce_tier_change
from services.generation.models import Job
from services.generation.problems import GenerationNotFound, JobNotFailed
from services.generation.repository import jobs, staff
from services.generation.wake_ups import WAKE_UP

HOLD_LIFETIME = timedelta(days=7)  # a backstop: a job settles its hold when it ends


async def requeue_job(sessions: Sessions, admin: Principal, job_id: UUID, *, clock: Clock) -> Job:
    """Queue a failed job again, for its owner's credits, which were all given back.

    The attempts go on counting up, so that no worker of an earlier one can write; failures start
    anew. Raises GenerationNotFound (404), JobNotFailed (409), InsufficientCredits (402).
    """
    async with transaction(sessions, admin.user_id) as session:
        await staff.open_view(session)
        owner = await staff.find_owner(session, job_id)
    if owner is None:
        raise GenerationNotFound()
    async with transaction(sessions, owner) as session:
        job = await jobs.lock_job(session, job_id)
        if job is None:
            raise GenerationNotFound()
        if job.state != "failed":
            raise JobNotFailed(f"It is {job.state}", state=job.state)
        await hold_again(session, job, clock)
        await add_event(session, requeued_event(job, REQUEUED))
        await add_task(session, WAKE_UP, queue=queue_of_pool(job.pool))
        await announce_tier_change(session, owner)  # it may have changed since the job was queued
        await record(
            session,
            actor=f"admin:{admin.user_id}",
            action="job.requeued",
            subject=f"job:{job.id}",
            user_id=owner,
            details={"held_millicredits": job.quoted_millicredits, "attempt": job.attempt},
            now=clock(),
        )
        return job


async def hold_again(session: AsyncSession, job: Job, clock: Clock) -> None:
    """Queue the job, paid by a hold of its own. Raises InsufficientCredits."""
    hold_id = new_id()
    await hold_credits(
        session,
        user_id=job.user_id,
        hold_id=hold_id,
        amount=job.quoted_millicredits,
        model=job.model,
        expires_at=clock() + HOLD_LIFETIME,
    )
    await staff.requeue(session, job, hold_id)
