"""The caller's subscription: see it, preview and make changes, cancel, resume."""

from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
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
from services.payment.lemon_squeezy.resources import SubscriptionResource
from services.payment.plan_changes import PlanChange
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
from services.payment.schemas.subscriptions import (
    ChangePreview,
    ChangeRequest,
    CurrentAnswer,
    LinksAnswer,
)
from services.payment.service import changes, subscriptions
from services.payment.service.standing import observe_subscription

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


@router.get("", responses=problem_answers(Unauthorized))
async def get_current_subscription(
    request: Request, session: TenantSession, principal: CurrentPrincipal
) -> CurrentAnswer:
    """The caller's plan, and the subscription that gives it; without one, the free plan."""
    now = request.app.state.clock()
    return await subscriptions.get_current(session, principal.user_id, now)


@router.get(
    "/links", responses=problem_answers(Unauthorized, SubscriptionNotFound, BillingUnavailable)
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


@router.post("/change-preview", responses=problem_answers(*CHANGING))
async def preview_change(
    body: ChangeRequest, request: Request, principal: CurrentPrincipal
) -> ChangePreview:
    """What a change of plan would do to plan, credits and money. Changes nothing."""
    state = request.app.state
    async with transaction(state.billing_sessions, principal.user_id) as session:
        return await changes.preview_change(session, principal.user_id, body.offer, state.clock())


@router.post(
    "/change",
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
    ends; nothing is lost until then.
    """
    state = request.app.state

    async def prepare(session: AsyncSession) -> PlanChange:
        return await changes.make_change(session, principal.user_id, body.offer, state.clock())

    async def call(change: PlanChange) -> CurrentAnswer:
        answer = None
        for step in change.steps:
            variant = state.shelf.variant_of(step.offer)
            asked = state.lemon_squeezy.change_variant(
                change.subscription, variant, charge_now=step.charge_now
            )
            answer = await observe(state, principal, asked, "subscription.changed")
        assert answer is not None
        return answer

    return await answer_after_call(
        state.billing_sessions,
        principal,
        operation="change_plan",
        key=idempotency_key,
        request=body,
        prepare=prepare,
        call=call,
    )


@router.post("/cancel", responses=problem_answers(Unauthorized, SubscriptionNotFound, *CALLING))
async def cancel_subscription(request: Request, principal: CurrentPrincipal) -> CurrentAnswer:
    """Renew no more. The plan and its credits stay until `ends_at`; doing it twice does nothing."""
    state = request.app.state
    provider_id = await find_current(state, principal)
    asked = state.lemon_squeezy.cancel(provider_id)
    return await observe(state, principal, asked, "subscription.cancelled")


@router.post(
    "/resume",
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
    return await observe(state, principal, asked, "subscription.resumed")


async def find_current(state: Any, principal: Principal) -> str:
    """The provider's id of the current subscription. Raises SubscriptionNotFound."""
    async with transaction(state.sessions, principal.user_id) as session:
        current = await subscriptions.require_current(session, principal.user_id, state.clock())
        return current.provider_id


async def observe(
    state: Any, principal: Principal, asked: Awaitable[SubscriptionResource], action: str
) -> CurrentAnswer:
    """Ask the provider, and make what it answers hold here at once: its webhook will be no news.

    The audit log keeps that the customer asked for it.
    """
    resource, user_id, now = await asked, principal.user_id, state.clock()
    async with transaction(state.billing_sessions, user_id) as session:
        await observe_subscription(session, resource, now, user_id=user_id, shelf=state.shelf)
        await record(
            session,
            actor=f"user:{user_id}",
            action=action,
            subject=f"subscription:{resource.id}",
            user_id=user_id,
            details={
                "status": resource.attributes.status,
                "variant": resource.attributes.variant_id,
            },
            now=now,
        )
        return await subscriptions.get_current(session, user_id, now)
