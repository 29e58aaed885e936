"""The caller's boards."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.clock import utc_now
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.web.idempotency import (
    Answer,
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
    answer_once,
)
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from services.gallery.problems import BoardNameTaken, BoardNotFound, ImageNotFound
from services.gallery.schemas import BoardAnswer, BoardRequest
from services.gallery.service import boards

router = APIRouter(prefix="/api/v1/boards", tags=["boards"])
ONE = (Unauthorized, BoardNotFound, ValidationFailed)
CREATING = (
    Unauthorized,
    BoardNameTaken,
    ValidationFailed,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
)


@router.get(
    "",
    dependencies=[users("images:read")],
    responses=problem_answers(Unauthorized, ValidationFailed),
)
async def list_boards(session: TenantSession, page: PageQuery) -> Page[BoardAnswer]:
    """The caller's boards, newest first."""
    return await boards.list_boards(session, page)


@router.post(
    "",
    dependencies=[users("images:write")],
    status_code=201,
    response_model=BoardAnswer,
    responses=problem_answers(*CREATING),
)
async def create_board(
    body: BoardRequest,
    session: TenantSession,
    principal: CurrentPrincipal,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Make an empty board."""

    async def create() -> Answer:
        board = await boards.create_board(session, principal, body, clock=utc_now)
        return Answer(201, board, {"Location": f"/api/v1/boards/{board.id}"})

    return await answer_once(
        session,
        user_id=principal.user_id,
        operation="create_board",
        key=idempotency_key,
        request=body,
        run=create,
    )


@router.get("/{board_id}", dependencies=[users("images:read")], responses=problem_answers(*ONE))
async def get_board(board_id: UUID, session: TenantSession) -> BoardAnswer:
    """One board."""
    return await boards.get_board(session, board_id)


@router.patch(
    "/{board_id}",
    dependencies=[users("images:write")],
    responses=problem_answers(*ONE, BoardNameTaken),
)
async def rename_board(board_id: UUID, body: BoardRequest, session: TenantSession) -> BoardAnswer:
    """Give a board another name."""
    return await boards.rename_board(session, board_id, body)


@router.delete(
    "/{board_id}",
    dependencies=[users("images:write")],
    status_code=204,
    responses=problem_answers(*ONE),
)
async def delete_board(board_id: UUID, session: TenantSession) -> None:
    """Delete a board. Its images stay."""
    await boards.delete_board(session, board_id)


@router.put(
    "/{board_id}/images/{image_id}",
    dependencies=[users("images:write")],
    status_code=204,
    responses=problem_answers(*ONE, ImageNotFound),
)
async def pin_image(
    board_id: UUID, image_id: UUID, session: TenantSession, principal: CurrentPrincipal
) -> None:
    """Put an image on a board."""
    await boards.pin_image(session, principal, board_id, image_id)


@router.delete(
    "/{board_id}/images/{image_id}",
    dependencies=[users("images:write")],
    status_code=204,
    responses=problem_answers(*ONE),
)
async def unpin_image(board_id: UUID, image_id: UUID, session: TenantSession) -> None:
    """Take an image off a board."""
    await boards.unpin_image(session, board_id, image_id)
