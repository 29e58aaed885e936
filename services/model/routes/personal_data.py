"""For the user service alone: what this service holds about a user. The gateway does not route
here."""

from fastapi import APIRouter, Response

from libs.auth.access import services
from libs.auth.dependencies import TenantSession
from libs.privacy.collections import Collection, read_page
from libs.privacy.contract import PREFIX, ExportPage
from libs.privacy.routes import ERASING, REFUSED, Cursor, Subject, answer_erasure
from services.model import repository

router = APIRouter(prefix=PREFIX, tags=["personal data"])
COLLECTIONS = (Collection("models", "models.models"),)


@router.get("/export", dependencies=[services("user")], responses=REFUSED)
async def export_personal_data(
    user_id: Subject, session: TenantSession, cursor: Cursor = None
) -> ExportPage:
    """A page of the user's own models."""
    return await read_page(session, COLLECTIONS, user_id, cursor)


@router.delete("", dependencies=[services("user")], status_code=204, responses=ERASING)
async def erase_personal_data(user_id: Subject, session: TenantSession) -> Response:
    """Delete the user's own models; a repeat does no harm."""
    await repository.delete_models(session, user_id)
    return answer_erasure(None)
