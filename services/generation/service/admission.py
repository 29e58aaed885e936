"""Quote and create: the gates, the limits, the price, the hold, the job, the wake-up."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.credits.amounts import to_millicredits
from libs.credits.ledger import available_credits, hold_credits
from libs.credits.pricing import format_credits, load_price_book
from libs.events.topics import Event
from libs.jobs.celery_app import queue_of_pool
from libs.jobs.outbox import add_event, add_task
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.tiers.catalogue import Tier
from libs.tiers.entitlements import tier_of
from libs.tiers.gates import require_base, require_hourly_room, require_waiting_room
from services.generation.models import Job
from services.generation.price_breakdown import explain_price
from services.generation.problems import PriceAboveMaximum
from services.generation.repository import jobs
from services.generation.resolution import resolve_request, work_of
from services.generation.schemas import (
    MAX_SEED,
    GenerationRequest,
    PriceBreakdown,
    QuoteAnswer,
    ResolvedRequest,
    WaitEstimate,
)
from services.generation.waiting import estimate_wait
from services.generation.wake_ups import WAKE_UP
from services.model.client.catalogue import ModelCatalogue
from services.model.client.contracts import ModelInfo
from services.model.client.problems import ModelNotFound

HOUR = timedelta(hours=1)
HOLD_LIFETIME = timedelta(days=7)  # a backstop: a job settles its hold when it ends


@dataclass(frozen=True)
class Offer:
    """A request that has passed the gates, with its price and the wait."""

    tier: Tier
    request: ResolvedRequest
    breakdown: PriceBreakdown
    wait: WaitEstimate

    @property
    def price(self) -> int:
        """Milli-credits: what is held when the request is accepted."""
        return self.breakdown.total_millicredits


async def find_model(models: ModelCatalogue, name: str) -> ModelInfo:
    """The model of a request; a network call, so outside any transaction. Raises ModelNotFound."""
    model = await models.find(name)
    if model is None:
        raise ModelNotFound(f"There is no model {name!r}")
    return model


async def make_offer(
    session: AsyncSession, principal: Principal, request: GenerationRequest, model: ModelInfo
) -> Offer:
    """Gates, price and wait of a request. Raises TierRequired."""
    tier = await tier_of(session, principal.user_id)
    require_base(tier, model.base)
    resolved = resolve_request(request, model, random_seed=secrets.randbelow(MAX_SEED + 1))
    outlook = await jobs.read_outlook(session, tier.gpu_pool)
    breakdown = explain_price(work_of(resolved, model.base), load_price_book())
    return Offer(tier, resolved, breakdown, estimate_wait(outlook))


def within_maximum(request: GenerationRequest, price: int) -> bool:
    """Whether a price keeps to what the request allows at most."""
    return request.max_credits is None or price <= to_millicredits(request.max_credits)


def require_within_maximum(request: GenerationRequest, price: int) -> None:
    """Raises PriceAboveMaximum (422)."""
    if request.max_credits is not None and not within_maximum(request, price):
        raise PriceAboveMaximum(price, to_millicredits(request.max_credits))


async def quote_generation(
    session: AsyncSession, principal: Principal, request: GenerationRequest, model: ModelInfo
) -> QuoteAnswer:
    """What a request would cost and how long it would wait; spends nothing."""
    offer = await make_offer(session, principal, request, model)
    available = await available_credits(session, principal.user_id)
    return QuoteAnswer(
        price_millicredits=offer.price,
        credits=format_credits(offer.price),
        price=offer.breakdown,
        available_millicredits=available,
        affordable=available >= offer.price,
        within_maximum=within_maximum(request, offer.price),
        tier=offer.tier.name,
        pool=offer.tier.gpu_pool,
        wait=offer.wait,
    )


async def create_generation(
    session: AsyncSession,
    principal: Principal,
    request: GenerationRequest,
    model: ModelInfo,
    *,
    clock: Clock,
) -> Job:
    """Accept a job: job row, hold and outbox rows in the caller's one transaction.

    Raises TierRequired (403), PriceAboveMaximum (422), WaitingLimitReached and
    HourlyLimitReached (429), InsufficientCredits and SpendCapReached (402).
    """
    now = clock()
    await jobs.lock_admission(session, principal.user_id)
    offer = await make_offer(session, principal, request, model)
    require_within_maximum(request, offer.price)
    await require_room(session, principal.user_id, offer, now)
    job = build_job(principal.user_id, request, offer, model, now)
    await hold_credits(
        session,
        user_id=job.user_id,
        hold_id=job.id,
        amount=offer.price,
        model=job.model,
        key_id=principal.key_id,
        expires_at=now + HOLD_LIFETIME,
    )
    session.add(job)
    await session.flush()
    await announce(session, job, offer.wait)
    return job


async def require_room(session: AsyncSession, user_id: UUID, offer: Offer, now: datetime) -> None:
    """Raises when one more job would pass the tier's waiting or hourly limit."""
    usage = await jobs.count_usage(session, user_id, now - HOUR)
    wait = int(offer.wait.p50_seconds)
    require_waiting_room(offer.tier, usage.waiting, expected_wait_seconds=wait)
    oldest_age = int((now - usage.oldest).total_seconds()) if usage.oldest else 0
    require_hourly_room(offer.tier, usage.created, oldest_age_seconds=oldest_age)


def build_job(
    user_id: UUID, request: GenerationRequest, offer: Offer, model: ModelInfo, now: datetime
) -> Job:
    """The row of an accepted request."""
    expires_at = now + timedelta(seconds=request.expires_in) if request.expires_in else None
    return Job(
        id=new_id(),
        user_id=user_id,
        tier=offer.tier.name,
        pool=offer.tier.gpu_pool,
        model=model.slug,
        base=model.base,
        request=offer.request.model_dump(mode="json"),
        quoted_millicredits=offer.price,
        price_version=offer.breakdown.price_version,
        created_at=now,
        expires_at=expires_at,
    )


async def announce(session: AsyncSession, job: Job, wait: WaitEstimate) -> None:
    """Tell the user's streams that the job is queued, and wake a worker of its pool."""
    data = {"position": wait.jobs_ahead + 1, "eta": wait.model_dump()}
    queued = Event(topic="job.queued", user_id=job.user_id, job_id=job.id, data=data)
    await add_event(session, queued)
    await add_task(session, WAKE_UP, queue=queue_of_pool(job.pool))
