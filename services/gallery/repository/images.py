"""Queries of images: row security shows the tenant's alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.pages import newest_first
from services.gallery.models import BoardImage, Image


@dataclass(frozen=True)
class ImageFilter:
    """Which images of the tenant; everything that is given must hold.

    `q` are words of the prompt in web search syntax; `created_to` is exclusive.
    """

    board_id: UUID | None = None
    q: str | None = None
    model: str | None = None
    starred: bool | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    source: str | None = None


async def find_image(session: AsyncSession, image_id: UUID) -> Image | None:
    """One of the tenant's images."""
    return await session.get(Image, image_id)


async def delete_image(session: AsyncSession, image_id: UUID) -> None:
    """Delete one of the tenant's images, off all boards too."""
    await session.execute(delete(Image).where(Image.id == image_id))


async def list_images(
    session: AsyncSession, wanted: ImageFilter, *, limit: int, before: UUID | None
) -> Sequence[Image]:
    """Up to `limit + 1` of the tenant's images, newest first."""
    query = newest_first(narrow(select(Image), wanted), Image.id, limit=limit, before=before)
    return (await session.scalars(query)).all()


def narrow(query: Select[Image], wanted: ImageFilter) -> Select[Image]:
    """The query with every condition of the filter that is given."""
    if wanted.board_id is not None:
        on_board = select(BoardImage.image_id).where(BoardImage.board_id == wanted.board_id)
        query = query.where(Image.id.in_(on_board))
    if wanted.q is not None:
        words = func.websearch_to_tsquery("pg_catalog.simple", wanted.q)
        query = query.where(Image.search.bool_op("@@")(words))
    if wanted.model is not None:
        query = query.where(Image.model == wanted.model)
    if wanted.source is not None:
        query = query.where(Image.source == wanted.source)
    if wanted.starred is not None:
        query = query.where(Image.starred == wanted.starred)
    if wanted.created_from is not None:
        query = query.where(Image.created_at >= wanted.created_from)
    if wanted.created_to is not None:
        query = query.where(Image.created_at < wanted.created_to)
    return query
