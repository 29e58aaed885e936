"""Queries of boards: row security shows the tenant's alone."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.pages import newest_first
from services.gallery.models import Board, BoardImage

IMAGES = (
    select(func.count())
    .where(BoardImage.board_id == Board.id)
    .correlate(Board)
    .scalar_subquery()
    .label("images")
)


async def list_boards(
    session: AsyncSession, *, limit: int, before: UUID | None
) -> Sequence[Row[Any]]:
    """Up to `limit + 1` boards with their number of images, newest first."""
    query = newest_first(select(Board, IMAGES), Board.id, limit=limit, before=before)
    return (await session.execute(query)).all()


async def find_board(session: AsyncSession, board_id: UUID) -> Row[Any] | None:
    """A board with its number of images."""
    return (await session.execute(select(Board, IMAGES).where(Board.id == board_id))).one_or_none()


async def keep_board(session: AsyncSession, board_id: UUID) -> bool:
    """Keep a board from being deleted until the transaction ends; False if there is none."""
    query = select(Board.id).where(Board.id == board_id).with_for_update(read=True, key_share=True)
    return await session.scalar(query) is not None


async def add_board(session: AsyncSession, board: Board) -> bool:
    """Insert a board; False if the tenant has one of that name."""
    row = insert(Board).values(
        id=board.id, user_id=board.user_id, name=board.name, created_at=board.created_at
    )
    names = [Board.user_id, Board.name]
    inserted = row.on_conflict_do_nothing(index_elements=names).returning(Board.id)
    return await session.scalar(inserted) is not None


async def rename_board(session: AsyncSession, board_id: UUID, name: str) -> bool:
    """Change a board's name; False if the tenant has another board of that name."""
    query = update(Board).where(Board.id == board_id).values(name=name)
    try:
        async with session.begin_nested():
            await session.execute(query)
    except IntegrityError:
        return False
    return True


async def delete_board(session: AsyncSession, board_id: UUID) -> bool:
    """Delete a board, not its images; False if there is none."""
    deleted = delete(Board).where(Board.id == board_id).returning(Board.id)
    return await session.scalar(deleted) is not None


async def pin_image(session: AsyncSession, user_id: UUID, board_id: UUID, image_id: UUID) -> None:
    """Put an image on a board; it may be there already."""
    row = insert(BoardImage).values(user_id=user_id, board_id=board_id, image_id=image_id)
    await session.execute(row.on_conflict_do_nothing())


async def unpin_image(session: AsyncSession, board_id: UUID, image_id: UUID) -> None:
    """Take an image off a board."""
    of_board = (BoardImage.board_id == board_id, BoardImage.image_id == image_id)
    await session.execute(delete(BoardImage).where(*of_board))
