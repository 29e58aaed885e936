"""The caller's credits."""

from fastapi import APIRouter

from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from services.payment.schemas import BalanceAnswer, TransactionAnswer
from services.payment.service import credits

router = APIRouter(prefix="/api/v1/credits", tags=["credits"])


@router.get("/balance", responses=problem_answers(Unauthorized))
async def get_balance(session: TenantSession, principal: CurrentPrincipal) -> BalanceAnswer:
    """Total, held and available credits, and the grants in the order in which they are spent."""
    return await credits.get_balance(session, principal)


@router.get("/transactions", responses=problem_answers(Unauthorized, ValidationFailed))
async def list_transactions(
    session: TenantSession, principal: CurrentPrincipal, page: PageQuery
) -> Page[TransactionAnswer]:
    """Every movement of the caller's credits, newest first."""
    return await credits.list_transactions(session, principal, page)
