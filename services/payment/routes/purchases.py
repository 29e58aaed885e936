"""Buy a plan or credits, and see what was bought."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.problems import ServiceUnavailable, Unauthorized, ValidationFailed
from libs.web.idempotency import (
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
)
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from services.payment.problems import AlreadySubscribed, BillingRefused, BillingUnavailable
from services.payment.routes.outside_calls import answer_after_call
from services.payment.schemas.purchases import (
    CheckoutAnswer,
    CheckoutRequest,
    InvoiceAnswer,
    OrderAnswer,
)
from services.payment.service import checkout

router = APIRouter(prefix="/api/v1/payments", tags=["payments"])
Authorization = Annotated[str, Header(include_in_schema=False)]


@router.post(
    "/checkout",
    dependencies=[users()],
    status_code=201,
    response_model=CheckoutAnswer,
    responses=problem_answers(
        Unauthorized,
        AlreadySubscribed,
        BillingRefused,
        IdempotentRequestRunning,
        ValidationFailed,
        IdempotencyKeyReused,
        BillingUnavailable,
        ServiceUnavailable,
    ),
)
async def create_checkout(
    body: CheckoutRequest,
    principal: CurrentPrincipal,
    request: Request,
    authorization: Authorization,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """A page of the payment provider where a plan or a pack of credits is paid.

    A plan begins with its trial days if you never had a trial. What was paid shows in
    `GET /api/v1/subscriptions/current` and `GET /api/v1/credits/balance` within seconds.
    """
    state = request.app.state
    return_url = checkout.require_return_url(body.return_url, state.settings.public_url)

    async def prepare(session: AsyncSession) -> bool:
        return await checkout.offers_trial(session, principal, body, state.clock())

    async def call(with_trial: bool) -> CheckoutAnswer:
        order = checkout.make_order(
            body,
            await state.accounts.read_own(authorization),
            shelf=state.shelf,
            return_url=return_url,
            with_trial=with_trial,
            now=state.clock(),
        )
        return checkout.show_checkout(await state.lemon_squeezy.create_checkout(order))

    return await answer_after_call(
        state.sessions,
        principal,
        operation="create_checkout",
        key=idempotency_key,
        request=body,
        prepare=prepare,
        call=call,
        status=201,
    )


@router.get(
    "/invoices",
    dependencies=[users("billing:read")],
    responses=problem_answers(Unauthorized, ValidationFailed),
)
async def list_invoices(
    session: TenantSession, principal: CurrentPrincipal, page: PageQuery
) -> Page[InvoiceAnswer]:
    """Every charge of the caller's subscriptions with its invoice, newest first."""
    return await checkout.list_invoices(session, principal, page)


@router.get(
    "/orders",
    dependencies=[users("billing:read")],
    responses=problem_answers(Unauthorized, ValidationFailed),
)
async def list_orders(
    session: TenantSession, principal: CurrentPrincipal, page: PageQuery
) -> Page[OrderAnswer]:
    """Every purchase of the caller with its receipt, newest first."""
    return await checkout.list_orders(session, principal, page)
