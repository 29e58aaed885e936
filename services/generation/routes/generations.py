"""Quote, create, read, list and cancel generations."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import State

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.auth.principals import Principal
from libs.credits.caps import SpendCapReached
from libs.credits.ledger import InsufficientCredits
from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.kernel.problems import Problem, ServiceUnavailable, Unauthorized, ValidationFailed
from libs.tiers.gates import HourlyLimitReached, TierRequired, WaitingLimitReached
from libs.web.idempotency import (
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
)
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from libs.web.text_fields import PlainText
from services.generation.answers import show_job
from services.generation.models import JobState
from services.generation.problems import (
    AlreadyFinished,
    GenerationNotFound,
    PriceAboveMaximum,
    PromptRefused,
    QueueFull,
)
from services.generation.schemas import GenerationAnswer, GenerationRequest, QuoteAnswer
from services.generation.service import acceptance, admission, owner
from services.generation.service.waits import CurrentForecast, estimate_of_job
from services.generation.service.webhooks import require_webhook
from services.model.client.problems import ModelNotFound

router = APIRouter(prefix="/api/v1/generations", tags=["generations"])
ASKING = (Unauthorized, TierRequired, ModelNotFound, ValidationFailed, ServiceUnavailable)
SPENDING = (
    InsufficientCredits,
    SpendCapReached,
    PriceAboveMaximum,
    PromptRefused,
    WaitingLimitReached,
    HourlyLimitReached,
    QueueFull,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
)


@router.post("/quote", dependencies=[users("generations:read")], responses=problem_answers(*ASKING))
async def quote_generation(
    body: GenerationRequest,
    principal: CurrentPrincipal,
    forecast: CurrentForecast,
    request: Request,
) -> QuoteAnswer:
    """Price, limits and expected wait of a request. Spends nothing."""
    state = request.app.state
    model = await admission.find_model(state.models, body.model)
    sources = await admission.find_sources(state.sessions, principal.user_id, body)
    async with transaction(state.sessions, principal.user_id) as session:
        return await admission.quote_generation(
            session, forecast.outlook, principal, body, model, sources
        )


@router.post(
    "",
    dependencies=[users("generations:write")],
    status_code=202,
    response_model=GenerationAnswer,
    responses=problem_answers(*ASKING, *SPENDING),
)
async def create_generation(
    body: GenerationRequest, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accept a job and hold its price. `Location` is where it can be watched."""
    # The principal is read without `CurrentPrincipal`: each dependency costs on this hot route.
    state, principal = request.app.state, request.state.principal
    try:
        return await accept_generation(state, principal, body, idempotency_key)
    except Problem:  # what was accepted once stays so, though its image or its model be gone now
        stored = await acceptance.find_accepted(
            state.sessions, principal.user_id, body, idempotency_key
        )
        if stored is None:
            raise
        return stored


async def accept_generation(
    state: State, principal: Principal, body: GenerationRequest, repeat_key: str | None
) -> Response:
    """Check a request, then accept it. Raises the Problems of `create_generation`."""
    user_id = principal.user_id
    await admission.require_prompt(state.moderation, body)
    model = await admission.find_model(state.models, body.model)
    await require_webhook(state.sessions, user_id, body.webhook_id)
    sources = await admission.find_sources(state.sessions, user_id, body)
    return await acceptance.create_generation(
        state.statements,
        state.waits,
        principal,
        body,
        model,
        sources,
        repeat_key=repeat_key,
        clock=utc_now,
    )


@router.get(
    "",
    dependencies=[users("generations:read")],
    responses=problem_answers(Unauthorized, ValidationFailed),
)
async def list_generations(
    session: TenantSession,
    page: PageQuery,
    status: Annotated[JobState | None, Query(description="Only jobs in this state")] = None,
    model: Annotated[
        PlainText | None, Query(max_length=100, description="Only jobs of this model")
    ] = None,
) -> Page[GenerationAnswer]:
    """The caller's jobs, newest first."""
    return await owner.list_generations(session, page, state=status, model=model)


@router.get(
    "/{generation_id}",
    dependencies=[users("generations:read")],
    responses=problem_answers(Unauthorized, GenerationNotFound),
)
async def get_generation(
    generation_id: UUID, forecast: CurrentForecast, session: TenantSession
) -> GenerationAnswer:
    """One job of the caller, and while it waits when it starts."""
    job = await owner.get_generation(session, generation_id)
    return show_job(job, await estimate_of_job(session, forecast.outlook, job))


@router.post(
    "/{generation_id}/cancel",
    dependencies=[users("generations:write")],
    responses=problem_answers(Unauthorized, GenerationNotFound, AlreadyFinished),
)
async def cancel_generation(generation_id: UUID, session: TenantSession) -> GenerationAnswer:
    """Cancel a job. While it waits this is free; while it runs, the steps done are charged."""
    return show_job(await owner.cancel_generation(session, generation_id, clock=utc_now))
