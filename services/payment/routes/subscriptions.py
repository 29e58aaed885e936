"""The caller's subscription: see it, preview and make changes, cancel, resume."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.auth.principals import Principal
from libs.db.transaction import transaction
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.web.idempotency import (
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
)
from libs.web.openapi import problem_answers
from services.payment.problems import (
    BillingRefused,
    BillingUnavailable,
    ChangeNotOffered,
    NotCancelled,
    PlanUnchanged,
    SubscriptionNotActive,
    SubscriptionNotFound,
)
from services.payment.routes.outside_calls import answer_after_call
from services.payment.routes.provider_verbs import PlannedSteps, observe, take_steps
from services.payment.schemas.subscriptions import (
    ChangePreview,
    ChangeRequest,
    CurrentAnswer,
    LinksAnswer,
)
from services.payment.service import changes, subscriptions

router = APIRouter(prefix="/api/v1/subscriptions/current", tags=["subscriptions"])
CHANGING = (
    Unauthorized,
    SubscriptionNotFound,
    SubscriptionNotActive,
    PlanUnchanged,
    ChangeNotOffered,
    ValidationFailed,
)
CALLING = (BillingRefused, BillingUnavailable)


@router.get("", dependencies=[users("billing:read")], responses=problem_answers(Unauthorized))
async def get_current_subscription(
    request: Request, session: TenantSession, principal: CurrentPrincipal
) -> CurrentAnswer:
    """The caller's plan, and the subscription that gives it; without one, the free plan."""
    now = request.app.state.clock()
    return await subscriptions.get_current(session, principal.user_id, now)


@router.get(
    "/links",
    dependencies=[users("billing:read")],
    responses=problem_answers(Unauthorized, SubscriptionNotFound, BillingUnavailable),
)
async def get_subscription_links(request: Request, principal: CurrentPrincipal) -> LinksAnswer:
    """Fresh links to the provider's pages: cards, addresses, invoices."""
    provider_id = await find_current(request.app.state, principal)
    resource = await request.app.state.lemon_squeezy.get_subscription(provider_id)
    urls = resource.attributes.urls
    return LinksAnswer(
        customer_portal_url=urls.customer_portal,
        update_payment_method_url=urls.update_payment_method,
    )


@router.post("/change-preview", dependencies=[users()], responses=problem_answers(*CHANGING))
async def preview_change(
    body: ChangeRequest, request: Request, principal: CurrentPrincipal
) -> ChangePreview:
    """What a change of plan would do to plan, credits and money. Changes nothing."""
    state = request.app.state
    async with transaction(state.billing_sessions, principal.user_id) as session:
        return await changes.preview_change(session, principal.user_id, body.offer, state.clock())


@router.post(
    "/change",
    dependencies=[users()],
    response_model=CurrentAnswer,
    responses=problem_answers(*CHANGING, *CALLING, IdempotencyKeyReused, IdempotentRequestRunning),
)
async def change_plan(
    body: ChangeRequest,
    request: Request,
    principal: CurrentPrincipal,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Change plan or interval, as `change-preview` tells.

    Up, or to another interval: at once; the difference is charged now. Down: when what is paid for
    ends; nothing is lost until then. Repeated with its Idempotency-Key after an answer that was
    lost, it tells what holds: with a key, asking for the plan that holds already is no conflict.
    """
    state, user_id = request.app.state, principal.user_id

    async def prepare(session: AsyncSession) -> PlannedSteps | CurrentAnswer:
        now = state.clock()
        try:
            change = await changes.make_change(session, user_id, body.offer, now)
        except PlanUnchanged:
            if idempotency_key is None:
                raise
            return await subscriptions.get_current(session, user_id, now)
        current = await subscriptions.require_current(session, user_id, now)
        return PlannedSteps(current.provider_id, current.variant_id, change.steps)

    async def call(planned: PlannedSteps | CurrentAnswer) -> CurrentAnswer:
        if isinstance(planned, CurrentAnswer):
            return planned
        return await take_steps(state, principal, planned)

    return await answer_after_call(
        state.billing_sessions,
        principal,
        operation="change_plan",
        key=idempotency_key,
        request=body,
        prepare=prepare,
        call=call,
    )


@router.post(
    "/cancel",
    dependencies=[users()],
    responses=problem_answers(Unauthorized, SubscriptionNotFound, *CALLING),
)
async def cancel_subscription(request: Request, principal: CurrentPrincipal) -> CurrentAnswer:
    """Renew no more. The plan and its credits stay until `ends_at`; doing it twice does nothing."""
    state = request.app.state
    provider_id = await find_current(state, principal)
    asked = state.lemon_squeezy.cancel(provider_id)
    return await observe(state, principal, await asked, "subscription.cancelled")


@router.post(
    "/resume",
    dependencies=[users()],
    responses=problem_answers(Unauthorized, SubscriptionNotFound, NotCancelled, *CALLING),
)
async def resume_subscription(request: Request, principal: CurrentPrincipal) -> CurrentAnswer:
    """Take a cancellation back, as long as the plan lasts."""
    state = request.app.state
    async with transaction(state.sessions, principal.user_id) as session:
        current = await subscriptions.require_current(session, principal.user_id, state.clock())
        if current.status != "cancelled":
            raise NotCancelled()
    asked = state.lemon_squeezy.resume(current.provider_id)
    return await observe(state, principal, await asked, "subscription.resumed")


async def find_current(state: Any, principal: Principal) -> str:
    """The provider's id of the current subscription. Raises SubscriptionNotFound."""
    async with transaction(state.sessions, principal.user_id) as session:
        current = await subscriptions.require_current(session, principal.user_id, state.clock())
        return current.provider_id
