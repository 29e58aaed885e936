"""Queries of exporting and erasing: inside the transaction of the user whom it is about."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.privacy.collections import Collection
from libs.privacy.contract import StoredFile
from services.gallery.models import Board, Image, Upload

BOARD_WITH_IMAGES = """
    to_jsonb(t) || jsonb_build_object('images', (
        SELECT coalesce(jsonb_agg(p.image_id ORDER BY p.image_id), '[]')
        FROM gallery.board_images p WHERE p.board_id = t.id
    ))
"""


def file_of(image: dict[str, Any]) -> StoredFile:
    """The picture itself; its thumbnail can be made of it."""
    return StoredFile(key=image["object_key"], name=f"{image['id']}.{image['format']}")


COLLECTIONS = (
    Collection("boards", "gallery.boards", row=BOARD_WITH_IMAGES),
    Collection("uploads", "gallery.uploads", row="to_jsonb(t) - 'sha256'"),
    Collection("images", "gallery.images", row="to_jsonb(t) - 'search'", file=file_of),
)


async def delete_images(session: AsyncSession, user_id: UUID, limit: int) -> bool:
    """Delete some of the user's images, off all boards too. False: there are none."""
    some = select(Image.id).where(Image.user_id == user_id).limit(limit)
    deleted = delete(Image).where(Image.id.in_(some)).returning(Image.id)
    return (await session.scalars(deleted)).first() is not None


async def delete_boards(session: AsyncSession, user_id: UUID) -> None:
    """Delete the user's boards."""
    await session.execute(delete(Board).where(Board.user_id == user_id))


async def delete_uploads(session: AsyncSession, user_id: UUID) -> None:
    """Delete the user's uploads under way."""
    await session.execute(delete(Upload).where(Upload.user_id == user_id))
