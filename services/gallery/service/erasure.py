"""Letting go of all of a user's pictures: first the objects, then the rows that tell of them."""

from uuid import UUID

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.problems import ServiceUnavailable
from libs.storage.objects import ObjectStore, StorageUnavailable
from services.gallery.repository import erasure

ROWS_AT_ONCE = 1_000
OBJECT_PAGES_AT_ONCE = 10  # of a thousand objects, in one request


async def erase_user(sessions: Sessions, store: ObjectStore, user_id: UUID) -> str | None:
    """Erase everything below the user's prefixes, whether a row knows it or not, then the rows.

    None: all is gone; else what is left for the next request. May be repeated and interrupted.
    Raises ServiceUnavailable while the store is away.
    """
    try:
        for prefix in (f"{user_id}/", f"checkpoints/{user_id}/"):
            if not await store.delete_below(prefix, pages=OBJECT_PAGES_AT_ONCE):
                return "objects"
    except StorageUnavailable as error:
        raise ServiceUnavailable("The object store does not answer") from error
    while await erase_some_images(sessions, user_id):
        pass
    async with transaction(sessions, user_id) as session:
        await erasure.delete_boards(session, user_id)
        await erasure.delete_uploads(session, user_id)
    return None


async def erase_some_images(sessions: Sessions, user_id: UUID) -> bool:
    """One short transaction; False: no image is left."""
    async with transaction(sessions, user_id) as session:
        return await erasure.delete_images(session, user_id, ROWS_AT_ONCE)
