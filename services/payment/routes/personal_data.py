"""For the user service alone: what this service holds about a user. The gateway does not route
here."""

from fastapi import APIRouter, Request, Response

from libs.auth.access import services
from libs.db.transaction import transaction
from libs.privacy.collections import read_page
from libs.privacy.contract import PREFIX, ExportPage
from libs.privacy.routes import ERASING, REFUSED, Cursor, Subject, answer_erasure
from libs.web.openapi import problem_answers
from services.payment.desk import Desk
from services.payment.problems import BillingRefused
from services.payment.repository.erasure import COLLECTIONS
from services.payment.service.erasure import erase_user

router = APIRouter(prefix=PREFIX, tags=["personal data"])


@router.get("/export", dependencies=[services("user")], responses=REFUSED)
async def export_personal_data(
    user_id: Subject, request: Request, cursor: Cursor = None
) -> ExportPage:
    """A page of the user's subscriptions, payments, webhooks or credits."""
    async with transaction(request.app.state.billing_sessions, user_id) as session:
        return await read_page(session, COLLECTIONS, user_id, cursor)


@router.delete(
    "",
    dependencies=[services("user")],
    status_code=204,
    responses={**ERASING, **problem_answers(BillingRefused)},
)
async def erase_personal_data(user_id: Subject, request: Request) -> Response:
    """Cancel what renews, end all credits, and forget the person: amounts stay under the user's id.

    202: ask again; a repeat does no harm.
    """
    state = request.app.state
    desk = Desk(state.billing_sessions, state.shelf, state.clock)
    return answer_erasure(await erase_user(desk, state.lemon_squeezy, user_id))
