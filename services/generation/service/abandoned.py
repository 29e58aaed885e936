"""Checkpoints whose job has ended without the worker that kept them: cancelled while it waited,
expired, given up by the sweeper, erased with its owner."""

import asyncio
from uuid import UUID

from libs.db.engine import Sessions
from libs.storage.objects import ObjectStore
from libs.telemetry.logs import get_logger
from services.generation.repository import leases
from services.generation.service.checkpoints import PAGES, ROOT, folder_of

log = get_logger(__name__)
ROUND_SECONDS = 60.0


async def clear_checkpoints_forever(sessions: Sessions, store: ObjectStore) -> None:
    """Delete what belongs to no job under way, every minute; outages end one round."""
    while True:
        await asyncio.sleep(ROUND_SECONDS)
        try:
            await clear_checkpoints(sessions, store)
        except Exception as error:  # noqa: BLE001 - whatever is away, try again
            log.warning("checkpoints_not_cleared", error=repr(error))


async def clear_checkpoints(sessions: Sessions, store: ObjectStore) -> int:
    """Delete what belongs to no job under way; of how many jobs. Raises StorageUnavailable."""
    kept = {owner for key in await store.list_keys(ROOT) if (owner := owner_of(key))}
    if not kept:
        return 0
    async with sessions.begin() as session:
        under_way = await leases.jobs_under_way(session, {job for _, job in kept})
    ended = {(user, job) for user, job in kept if job not in under_way}
    for user, job in ended:
        await store.delete_below(folder_of(user, job), pages=PAGES)
    return len(ended)


def owner_of(key: str) -> tuple[UUID, UUID] | None:
    """The user and the job of a key; None for one that is not ours."""
    user, _, rest = key.removeprefix(ROOT).partition("/")
    try:
        return UUID(user), UUID(rest.partition("/")[0])
    except ValueError:
        return None
