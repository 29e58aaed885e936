"""For the user service alone: what this service holds about a user. The gateway does not route
here."""

from fastapi import APIRouter, Request, Response

from libs.auth.access import services
from libs.auth.dependencies import TenantSession
from libs.privacy.collections import read_page
from libs.privacy.contract import PREFIX, ExportPage
from libs.privacy.routes import ERASING, REFUSED, Cursor, Subject, answer_erasure
from services.gallery.repository.erasure import COLLECTIONS
from services.gallery.service.erasure import erase_user

router = APIRouter(prefix=PREFIX, tags=["personal data"])


@router.get("/export", dependencies=[services("user")], responses=REFUSED)
async def export_personal_data(
    user_id: Subject, session: TenantSession, cursor: Cursor = None
) -> ExportPage:
    """A page of the user's boards or images, with the keys of the pictures."""
    return await read_page(session, COLLECTIONS, user_id, cursor)


@router.delete("", dependencies=[services("user")], status_code=204, responses=ERASING)
async def erase_personal_data(user_id: Subject, request: Request) -> Response:
    """Delete the user's pictures, images and boards. 202: ask again; a repeat does no harm."""
    state = request.app.state
    return answer_erasure(await erase_user(state.sessions, state.store, user_id))
