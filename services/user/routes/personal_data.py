"""Everything that is the caller's: one archive of it, and its end."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.auth.recent_login import RecentLoginRequired
from libs.kernel.problems import ValidationFailed
from libs.storage.objects import ObjectStore
from libs.web.openapi import problem_answers
from services.user.desk import CurrentDesk
from services.user.erasure_schemas import ErasureAnswer, ErasureRequest, ExportAnswer
from services.user.problems import ExportNotFound, LastAdministrator
from services.user.service.erasure import request_erasure
from services.user.service.exports import get_export, request_export

router = APIRouter(prefix="/api/v1/users/me", tags=["personal data"])


def archives(request: Request) -> ObjectStore:
    """The store that the composition root made."""
    store: ObjectStore = request.app.state.archives
    return store


Archives = Annotated[ObjectStore, Depends(archives)]


@router.delete(
    "",
    dependencies=[users()],
    status_code=202,
    responses=problem_answers(RecentLoginRequired, LastAdministrator, ValidationFailed),
)
async def delete_account(
    body: ErasureRequest, session: TenantSession, principal: CurrentPrincipal, desk: CurrentDesk
) -> ErasureAnswer:
    """Delete the account and everything in it, for good.

    At once nobody can log in; pictures, jobs, boards, plan and keys are erased in the minutes
    after. Amounts of payments and credits stay under a number that names nobody.
    """
    return await request_erasure(session, principal, body, clock=desk.clock)


@router.post("/export", dependencies=[users()], status_code=202)
async def request_archive(
    session: TenantSession, principal: CurrentPrincipal, desk: CurrentDesk, store: Archives
) -> ExportAnswer:
    """Ask for an archive of everything that is yours. While one is being made, it is that one."""
    return await request_export(session, principal.user_id, desk.clock(), store=store)


@router.get(
    "/export",
    dependencies=[users()],
    responses={
        202: {"model": ExportAnswer, "description": "It is being made: ask again"},
        **problem_answers(ExportNotFound),
    },
)
async def get_archive(
    session: TenantSession,
    principal: CurrentPrincipal,
    desk: CurrentDesk,
    store: Archives,
    response: Response,
) -> ExportAnswer:
    """The newest archive: 202 while it is being made; 200 when it is ready, with a `url` that
    downloads it for fifteen minutes, or when it failed. It is deleted after seven days."""
    answer = await get_export(session, principal.user_id, desk.clock(), store=store)
    if answer.state in ("requested", "making"):
        response.status_code = 202
        response.headers["Retry-After"] = "5"
    return answer
