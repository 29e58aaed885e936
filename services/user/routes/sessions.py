"""The caller's login sessions: each is one device that stays logged in."""

from uuid import UUID

from fastapi import APIRouter

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.problems import ValidationFailed
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from services.user.desk import CurrentDesk
from services.user.problems import SessionNotFound
from services.user.schemas import SessionAnswer
from services.user.service import sessions

router = APIRouter(prefix="/api/v1/sessions", tags=["sessions"])


@router.get("", dependencies=[users()], responses=problem_answers(ValidationFailed))
async def list_sessions(
    session: TenantSession, principal: CurrentPrincipal, page: PageQuery, desk: CurrentDesk
) -> Page[SessionAnswer]:
    """Logins that have not ended, newest first."""
    return await sessions.list_sessions(session, principal, page, desk.clock())


@router.delete("", dependencies=[users()], status_code=204)
async def end_other_sessions(
    session: TenantSession, principal: CurrentPrincipal, desk: CurrentDesk
) -> None:
    """End all logins but this one, and their access tokens within two seconds."""
    await sessions.end_other_sessions(session, principal, desk.clock())


@router.delete(
    "/{session_id}",
    dependencies=[users()],
    status_code=204,
    responses=problem_answers(SessionNotFound, ValidationFailed),
)
async def end_session(
    session_id: UUID, session: TenantSession, principal: CurrentPrincipal, desk: CurrentDesk
) -> None:
    """End one login, and its access tokens within two seconds."""
    await sessions.end_own_session(session, principal, session_id, desk.clock())
