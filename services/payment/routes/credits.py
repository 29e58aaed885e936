"""The caller's credits."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from services.payment.schemas.credits import (
    BalanceAnswer,
    Day,
    GroupBy,
    SpendCapChange,
    SpendCapsAnswer,
    TransactionAnswer,
    UsageAnswer,
)
from services.payment.service import credits, spend_caps

router = APIRouter(prefix="/api/v1/credits", tags=["credits"])
FirstDay = Annotated[Day | None, Query(alias="from", description="First day, UTC")]
LastDay = Annotated[Day | None, Query(alias="to", description="Last day, UTC; today if left out")]


@router.get(
    "/balance", dependencies=[users("billing:read")], responses=problem_answers(Unauthorized)
)
async def get_balance(session: TenantSession, principal: CurrentPrincipal) -> BalanceAnswer:
    """Total, held and available credits, and the grants in the order in which they are spent."""
    return await credits.get_balance(session, principal)


@router.get(
    "/transactions",
    dependencies=[users("billing:read")],
    responses=problem_answers(Unauthorized, ValidationFailed),
)
async def list_transactions(
    session: TenantSession, principal: CurrentPrincipal, page: PageQuery
) -> Page[TransactionAnswer]:
    """Every movement of the caller's credits, newest first."""
    return await credits.list_transactions(session, principal, page)


@router.get(
    "/usage",
    dependencies=[users("billing:read")],
    responses=problem_answers(Unauthorized, ValidationFailed),
)
async def get_usage(
    request: Request,
    session: TenantSession,
    principal: CurrentPrincipal,
    group_by: Annotated[GroupBy, Query(description="What the sums are grouped by")] = "day",
    first: FirstDay = None,
    last: LastDay = None,
) -> UsageAnswer:
    """What was spent, by day, model or API key, at most a year at once; by default in 30 days."""
    days = credits.days_of(first, last, today=request.app.state.clock().date())
    return await credits.get_usage(session, principal, group_by=group_by, days=days)


@router.get(
    "/spend-caps", dependencies=[users("billing:read")], responses=problem_answers(Unauthorized)
)
async def list_spend_caps(session: TenantSession, principal: CurrentPrincipal) -> SpendCapsAnswer:
    """The caps that refuse a generation when it would spend more."""
    return await spend_caps.get_spend_caps(session, principal)


@router.put(
    "/spend-caps", dependencies=[users()], responses=problem_answers(Unauthorized, ValidationFailed)
)
async def put_spend_cap(
    body: SpendCapChange, session: TenantSession, principal: CurrentPrincipal
) -> SpendCapsAnswer:
    """Set or lift one cap, of the account or of an API key; it holds from the next request on."""
    return await spend_caps.put_spend_cap(session, principal, body)
