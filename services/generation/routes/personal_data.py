"""For the user service alone: what this service holds about a user. The gateway does not route
here."""

from fastapi import APIRouter, Request, Response

from libs.auth.access import services
from libs.auth.dependencies import TenantSession
from libs.kernel.clock import utc_now
from libs.privacy.collections import read_page
from libs.privacy.contract import PREFIX, ExportPage
from libs.privacy.routes import ERASING, REFUSED, Cursor, Subject, answer_erasure
from services.generation.repository.erasure import COLLECTIONS
from services.generation.service.erasure import erase_user

router = APIRouter(prefix=PREFIX, tags=["personal data"])


@router.get("/export", dependencies=[services("user")], responses=REFUSED)
async def export_personal_data(
    user_id: Subject, session: TenantSession, cursor: Cursor = None
) -> ExportPage:
    """A page of the user's jobs."""
    return await read_page(session, COLLECTIONS, user_id, cursor)


@router.delete("", dependencies=[services("user")], status_code=204, responses=ERASING)
async def erase_personal_data(user_id: Subject, request: Request) -> Response:
    """Cancel the user's jobs, settle them, delete them. 202: ask again; a repeat does no harm."""
    state = request.app.state
    waits_for = await erase_user(state.sessions, state.redis, user_id, clock=utc_now)
    return answer_erasure(waits_for)
