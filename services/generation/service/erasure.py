"""Letting go of all that a user had drawn: jobs end first, then they are gone."""

from collections.abc import Sequence
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.events.streams import job_stream, user_stream
from libs.kernel.clock import Clock
from libs.kernel.problems import ServiceUnavailable
from services.generation.problems import AlreadyFinished, GenerationNotFound
from services.generation.repository import erasure
from services.generation.service.owner import cancel_generation

JOBS_AT_ONCE = 500  # in one request or transaction; the rest is for the next


async def erase_user(
    sessions: Sessions, redis: Redis, user_id: UUID, *, clock: Clock
) -> str | None:
    """Erase the user's webhooks, jobs, streams and queue places. None: gone; else what ends first.

    May be repeated and interrupted. Raises ServiceUnavailable while Redis is away.
    """
    async with transaction(sessions, user_id) as session:
        await erasure.delete_webhooks(session, user_id)
        unfinished = await erasure.list_unfinished(session, user_id, JOBS_AT_ONCE)
    if unfinished:
        await cancel_jobs(sessions, user_id, unfinished, clock=clock)
        return "running jobs"
    async with transaction(sessions, user_id) as session:
        # a message that is sent later would make a stream anew
        if await erasure.outbox_names_tenant(session):
            return "events that are being sent"
    await forget_streams(redis, [user_stream(user_id)])
    while jobs := await ended_jobs(sessions, user_id):
        await forget_streams(redis, list(map(job_stream, jobs)))
        async with transaction(sessions, user_id) as session:
            await erasure.delete_jobs(session, jobs)
    async with transaction(sessions, user_id) as session:
        await erasure.delete_flows(session, user_id)
    return None


async def cancel_jobs(
    sessions: Sessions, user_id: UUID, jobs: Sequence[UUID], *, clock: Clock
) -> None:
    """Cancel each in a transaction of its own: what waits ends at once and is not charged, what
    runs is settled by its worker within a second."""
    for job_id in jobs:
        try:
            async with transaction(sessions, user_id) as session:
                await cancel_generation(session, job_id, clock=clock)
        except (AlreadyFinished, GenerationNotFound):
            continue


async def ended_jobs(sessions: Sessions, user_id: UUID) -> Sequence[UUID]:
    """Jobs that are still there."""
    async with transaction(sessions, user_id) as session:
        return await erasure.list_ended(session, user_id, JOBS_AT_ONCE)


async def forget_streams(redis: Redis, streams: Sequence[str]) -> None:
    """Delete streams, those of jobs before their rows: without them nobody would know them."""
    try:
        await redis.unlink(*streams)
    except (RedisError, OSError) as error:
        raise ServiceUnavailable("Redis does not answer") from error
