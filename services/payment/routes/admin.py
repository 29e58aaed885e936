"""What administrators do with credits and payments. The routes see all customers."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from libs.audit.log import record
from libs.auth.access import admins
from libs.auth.dependencies import CurrentPrincipal
from libs.db.transaction import transaction
from libs.kernel.problems import Forbidden, Unauthorized, ValidationFailed
from libs.web.idempotency import (
    Answer,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
    RequiredIdempotencyKey,
    answer_once,
)
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from services.payment import inbox
from services.payment.desk import Desk
from services.payment.inbox_problems import InboxEntryNotFound, InboxEntryNotStuck
from services.payment.models import InboxState
from services.payment.problems import BillingUnavailable, UserNotFound
from services.payment.schemas.admin import (
    AssignRequest,
    GrantedAnswer,
    GrantRequest,
    LedgerCheckAnswer,
    ReconciliationAnswer,
    WebhookEntryAnswer,
)
from services.payment.service import admin as verbs
from services.payment.service.reconciliation import all_facts, reconcile

router = APIRouter(prefix="/api/v1/admin", tags=["admin"])
ADMIN = (Unauthorized, Forbidden)
MENDING = (*ADMIN, InboxEntryNotFound, InboxEntryNotStuck, ValidationFailed)


@router.post(
    "/credits/grants",
    dependencies=[admins()],
    status_code=201,
    response_model=GrantedAnswer,
    responses=problem_answers(
        *ADMIN, UserNotFound, IdempotentRequestRunning, ValidationFailed, IdempotencyKeyReused
    ),
)
async def grant_credits(
    body: GrantRequest,
    request: Request,
    admin: CurrentPrincipal,
    idempotency_key: RequiredIdempotencyKey,
) -> JSONResponse:
    """Give a user credits, once a key. Who, whom, how much and why go to the audit log."""
    state = request.app.state
    async with transaction(state.billing_sessions, admin.user_id) as session:

        async def give() -> Answer:
            granted = await verbs.give_credits(session, admin, body, idempotency_key, state.clock())
            return Answer(201, granted, {})

        return await answer_once(
            session,
            user_id=admin.user_id,
            operation="grant_credits",
            key=idempotency_key,
            request=body,
            run=give,
        )


@router.get("/ledger/check", dependencies=[admins()], responses=problem_answers(*ADMIN))
async def check_ledger(request: Request, _admin: CurrentPrincipal) -> LedgerCheckAnswer:
    """Everything in the ledger that does not add up: must be empty, and alerts when it is not."""
    async with transaction(request.app.state.billing_sessions) as session:
        return await verbs.check_ledger(session)


@router.get(
    "/payments/webhooks",
    dependencies=[admins()],
    responses=problem_answers(*ADMIN, ValidationFailed),
)
async def list_webhooks(
    request: Request,
    _admin: CurrentPrincipal,
    page: PageQuery,
    state: Annotated[InboxState, Query(description="Only webhooks in this state")] = "stuck",
) -> Page[WebhookEntryAnswer]:
    """Webhooks of the provider, newest first; by default those that wait for help."""
    async with transaction(request.app.state.billing_sessions) as session:
        return await verbs.list_webhooks(session, page, state)


@router.post(
    "/payments/webhooks/{webhook_id}/retry",
    dependencies=[admins()],
    responses=problem_answers(*MENDING),
)
async def retry_webhook(
    webhook_id: UUID, request: Request, admin: CurrentPrincipal
) -> WebhookEntryAnswer:
    """Apply a stuck webhook again, within seconds: what was missing is there now."""
    state = request.app.state
    async with transaction(state.billing_sessions) as session:
        actor = verbs.actor_of(admin)
        entry = await inbox.retry(session, webhook_id, state.clock(), actor=actor)
        return WebhookEntryAnswer.model_validate(entry)


@router.post(
    "/payments/webhooks/{webhook_id}/assign",
    dependencies=[admins()],
    responses=problem_answers(*MENDING, UserNotFound),
)
async def assign_webhook(
    webhook_id: UUID, body: AssignRequest, request: Request, admin: CurrentPrincipal
) -> WebhookEntryAnswer:
    """Say whose a stuck webhook is, and apply it again, within seconds."""
    state = request.app.state
    async with transaction(state.billing_sessions) as session:
        actor = verbs.actor_of(admin)
        entry = await inbox.assign_user(
            session, webhook_id, body.user_id, state.clock(), actor=actor
        )
        return WebhookEntryAnswer.model_validate(entry)


@router.post(
    "/payments/reconciliation",
    dependencies=[admins()],
    responses=problem_answers(*ADMIN, BillingUnavailable),
)
async def reconcile_payments(request: Request, admin: CurrentPrincipal) -> ReconciliationAnswer:
    """Compare the provider's subscriptions and recent payments with ours now, and repair them.

    It happens daily by itself. Each repair has its own line in the audit log.
    """
    state = request.app.state
    desk = Desk(state.billing_sessions, state.shelf, state.clock)
    outcome = await reconcile(desk, all_facts(state.lemon_squeezy, desk.clock()))
    answer = ReconciliationAnswer.model_validate(outcome)
    async with transaction(state.billing_sessions) as session:
        await record(
            session,
            actor=verbs.actor_of(admin),
            action="payments.reconciled",
            subject="subscriptions",
            details=answer.model_dump(),
            now=state.clock(),
        )
    return answer
