"""The verbs of boards."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.web.pagination import Page, PageRequest, make_page
from services.gallery.models import Board
from services.gallery.problems import BoardNameTaken, BoardNotFound
from services.gallery.repository import boards
from services.gallery.schemas import BoardAnswer, BoardRequest
from services.gallery.service.images import require_image


def show_board(row: Row[Any]) -> BoardAnswer:
    """A board as its owner sees it."""
    board: Board = row.Board
    return BoardAnswer(id=board.id, name=board.name, images=row.images, created_at=board.created_at)


async def require_board(session: AsyncSession, board_id: UUID) -> Row[Any]:
    """One of the tenant's boards. Raises BoardNotFound, also for other people's."""
    row = await boards.find_board(session, board_id)
    if row is None:
        raise BoardNotFound()
    return row


async def list_boards(session: AsyncSession, page: PageRequest) -> Page[BoardAnswer]:
    """The tenant's boards, newest first."""
    rows = await boards.list_boards(session, limit=page.limit, before=page.before)
    return make_page(rows, page.limit, show_board, lambda row: row.Board.id)


async def create_board(
    session: AsyncSession, principal: Principal, request: BoardRequest, *, clock: Clock
) -> BoardAnswer:
    """A new, empty board. Raises BoardNameTaken."""
    board = Board(id=new_id(), user_id=principal.user_id, name=request.name, created_at=clock())
    if not await boards.add_board(session, board):
        raise BoardNameTaken(f"There is a board {request.name!r}")
    return BoardAnswer(id=board.id, name=board.name, images=0, created_at=board.created_at)


async def get_board(session: AsyncSession, board_id: UUID) -> BoardAnswer:
    """One board. Raises BoardNotFound."""
    return show_board(await require_board(session, board_id))


async def rename_board(session: AsyncSession, board_id: UUID, request: BoardRequest) -> BoardAnswer:
    """Give a board another name. Raises BoardNotFound, BoardNameTaken."""
    row = await require_board(session, board_id)
    if not await boards.rename_board(session, board_id, request.name):
        raise BoardNameTaken(f"There is a board {request.name!r}")
    return show_board(row).model_copy(update={"name": request.name})


async def delete_board(session: AsyncSession, board_id: UUID) -> None:
    """Delete a board; its images stay in the gallery. Raises BoardNotFound."""
    if not await boards.delete_board(session, board_id):
        raise BoardNotFound()


async def pin_image(
    session: AsyncSession, principal: Principal, board_id: UUID, image_id: UUID
) -> None:
    """Put an image on a board. Raises BoardNotFound, ImageNotFound."""
    if not await boards.keep_board(session, board_id):
        raise BoardNotFound()
    await require_image(session, image_id)
    await boards.pin_image(session, principal.user_id, board_id, image_id)


async def unpin_image(session: AsyncSession, board_id: UUID, image_id: UUID) -> None:
    """Take an image off a board, whether it is there or not. Raises BoardNotFound."""
    await require_board(session, board_id)
    await boards.unpin_image(session, board_id, image_id)
