"""What a request would cost, and how long it would wait: the gates, the price, the queue."""

import secrets
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.credits.amounts import to_millicredits
from libs.credits.ledger import available_credits
from libs.credits.pricing import format_credits
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.problems import ServiceUnavailable
from libs.moderation.findings import Moderation, ModerationUnavailable
from libs.tiers.entitlements import tier_of
from libs.tiers.gates import require_base
from services.gallery.client.images import find_sides
from services.generation.ingredients import NO_SOURCES, SourceImage, Sources, refuse
from services.generation.own_work import own_work_of_new
from services.generation.price_breakdown import price_now
from services.generation.problems import PriceAboveMaximum, PromptRefused
from services.generation.repository import jobs
from services.generation.resolution import resolve_request, work_of
from services.generation.schemas import (
    MAX_SEED,
    GenerationRequest,
    PriceBreakdown,
    QuoteAnswer,
    ResolvedRequest,
)
from services.generation.waiting import QueueOutlook, estimate_job, show_wait
from services.model.client.catalogue import ModelCatalogue
from services.model.client.contracts import ModelInfo
from services.model.client.problems import ModelNotFound


@dataclass(frozen=True)
class Offer:
    """A request with every default filled in, and its price: the same for every caller."""

    request: ResolvedRequest
    breakdown: PriceBreakdown

    @property
    def price(self) -> int:
        """Milli-credits: what is held when the request is accepted."""
        return self.breakdown.total_millicredits


async def find_model(models: ModelCatalogue, name: str) -> ModelInfo:
    """The model of a request, which draws by itself; a network call, so outside any transaction.

    Raises ModelNotFound.
    """
    model = await models.find(name)
    if model is None or model.type != "checkpoint":
        raise ModelNotFound(f"There is no model {name!r}")
    return model


async def require_prompt(moderation: Moderation, request: GenerationRequest) -> None:
    """Raises PromptRefused, or ServiceUnavailable when a check that is needed gives no answer."""
    try:
        finding = await moderation.judge_prompt(request.prompt)
    except ModerationUnavailable as error:
        raise ServiceUnavailable("Prompts cannot be checked at the moment") from error
    if finding is not None:
        raise PromptRefused(finding.category)


async def find_sources(sessions: Sessions, user_id: UUID, request: GenerationRequest) -> Sources:
    """The images that a request begins with. Raises ValidationFailed naming one that is not the
    user's."""
    named = {
        name: image_id
        for name in ("init_image_id", "mask_image_id")
        if (image_id := getattr(request, name)) is not None
    }
    if not named:
        return NO_SOURCES
    async with transaction(sessions, user_id) as session:
        found = await find_sides(session, set(named.values()))
    missing = [name for name, image_id in named.items() if image_id not in found]
    refuse({f"body.{name}": "there is no image of yours with that id" for name in missing})
    return {name: SourceImage(*found[image_id]) for name, image_id in named.items()}


def make_offer(request: GenerationRequest, model: ModelInfo, sources: Sources) -> Offer:
    """What will be done, and its price. Raises ValidationFailed for what the model cannot draw."""
    resolved = resolve_request(request, model, sources, random_seed=secrets.randbelow(MAX_SEED + 1))
    return Offer(resolved, price_now(work_of(resolved, model.base)))


def within_maximum(request: GenerationRequest, price: int) -> bool:
    """Whether a price keeps to what the request allows at most."""
    return request.max_credits is None or price <= to_millicredits(request.max_credits)


def require_within_maximum(request: GenerationRequest, price: int) -> None:
    """Raises PriceAboveMaximum (422)."""
    if request.max_credits is not None and not within_maximum(request, price):
        raise PriceAboveMaximum(price, to_millicredits(request.max_credits))


async def quote_generation(
    session: AsyncSession,
    outlook: QueueOutlook,
    principal: Principal,
    request: GenerationRequest,
    model: ModelInfo,
    sources: Sources,
) -> QuoteAnswer:
    """What a request would cost and how long it would wait; spends nothing. Raises TierRequired."""
    tier = await tier_of(session, principal.user_id)
    require_base(tier, model.base)
    offer = make_offer(request, model, sources)
    own = own_work_of_new(await jobs.read_own_jobs(session, principal.user_id), tier)
    available = await available_credits(session, principal.user_id)
    return QuoteAnswer(
        price_millicredits=offer.price,
        credits=format_credits(offer.price),
        price=offer.breakdown,
        available_millicredits=available,
        affordable=available >= offer.price,
        within_maximum=within_maximum(request, offer.price),
        tier=tier.name,
        pool=tier.gpu_pool,
        wait=show_wait(estimate_job(outlook, tier, model.slug, offer.price, own)),
    )
