"""The gallery's door in the database: the worker hands finished pictures over in its closing
transaction, and a generation finds the images of its owner's that it begins with."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.gallery.models import Image


@dataclass(frozen=True)
class ImageRecord:
    """A picture whose objects are stored.

    `parameters` is the complete generation request that makes it again (the seed filled in,
    `num_images` 1); `manifest` says on what build it was made. `created_at` is timezone-aware.
    """

    id: UUID
    user_id: UUID
    job_id: UUID
    object_key: str
    thumbnail_key: str
    format: Literal["png", "jpeg", "webp"]
    width: int
    height: int
    size_bytes: int
    seed: int
    model: str
    prompt: str
    negative_prompt: str
    parameters: dict[str, Any]
    manifest: dict[str, Any]
    created_at: datetime


async def record_image(session: AsyncSession, record: ImageRecord) -> None:
    """Add the image to its owner's gallery; a repeat with the same id does nothing.

    The transaction's tenant must be `record.user_id` (libs.db.transaction.set_tenant).
    """
    row = insert(Image).values(**asdict(record))
    await session.execute(row.on_conflict_do_nothing(index_elements=[Image.id]))


async def find_sides(
    session: AsyncSession, image_ids: Collection[UUID]
) -> dict[UUID, tuple[int, int]]:
    """Width and height, in pixels, of those of the images that are the tenant's."""
    query = select(Image.id, Image.width, Image.height).where(Image.id.in_(image_ids))
    rows = await session.execute(query)
    return {row.id: (row.width, row.height) for row in rows}


async def find_object_keys(session: AsyncSession, image_ids: Collection[UUID]) -> dict[UUID, str]:
    """Where the files of those of the images lie that are the tenant's."""
    query = select(Image.id, Image.object_key).where(Image.id.in_(image_ids))
    return {row.id: row.object_key for row in await session.execute(query)}
