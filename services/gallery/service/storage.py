"""How much a user stores, and whether there is room for more."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.tiers.entitlements import tier_of
from services.gallery.problems import StorageFull
from services.gallery.repository import uploads
from services.gallery.schemas import StorageAnswer


async def show_storage(session: AsyncSession, user_id: UUID) -> StorageAnswer:
    """Used, reserved, and the plan's limit, in bytes."""
    usage = await uploads.measure_storage(session, user_id)
    return StorageAnswer(
        used_bytes=usage.used_bytes,
        reserved_bytes=usage.reserved_bytes,
        limit_bytes=(await tier_of(session, user_id)).storage_bytes,
    )


async def require_room(session: AsyncSession, user_id: UUID, size_bytes: int) -> None:
    """Raises StorageFull if so many more bytes would pass the plan's limit.

    The caller holds the lock of the user's storage.
    """
    storage = await show_storage(session, user_id)
    taken = storage.used_bytes + storage.reserved_bytes
    if taken + size_bytes > storage.limit_bytes:
        raise StorageFull(
            f"{taken} of {storage.limit_bytes} bytes are taken; {size_bytes} more do not fit",
            **storage.model_dump(),
        )
