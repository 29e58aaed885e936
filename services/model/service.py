"""The verbs of models: what there is, who may use it, what it costs."""

from math import ceil

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.credits.pricing import Work, format_credits, load_price_book, quote, step_price
from libs.tiers.catalogue import Base, Tier, load_catalogue
from libs.tiers.entitlements import tier_of
from libs.web.pagination import Page, PageRequest, make_page
from services.model import repository
from services.model.client.contracts import ModelInfo, ModelType
from services.model.client.problems import ModelNotFound
from services.model.models import Model
from services.model.schemas import ModelAnswer


def show_model(model: Model, tier: Tier) -> ModelAnswer:
    """A model as a caller of that tier sees it."""
    info = ModelInfo.model_validate(model)
    work = Work(
        base=info.base,
        width=info.default_width,
        height=info.default_height,
        steps=info.default_steps,
        images=1,
    )
    step, image = ceil(step_price(work, load_price_book())), quote(work)
    return ModelAnswer(
        model=info,
        allowed=info.base in tier.bases,
        required_tier=load_catalogue().first_with_base(info.base).name,
        step_millicredits=step,
        step_credits=format_credits(step),
        image_millicredits=image,
        image_credits=format_credits(image),
    )


async def require_model(session: AsyncSession, name: str) -> Model:
    """The model of that slug or id. Raises ModelNotFound."""
    model = await repository.find_model(session, name)
    if model is None:
        raise ModelNotFound(f"There is no model {name!r}")
    return model


async def get_model(session: AsyncSession, principal: Principal, name: str) -> ModelAnswer:
    """One model. Raises ModelNotFound."""
    model = await require_model(session, name)
    return show_model(model, await tier_of(session, principal.user_id))


async def list_models(
    session: AsyncSession,
    principal: Principal,
    page: PageRequest,
    *,
    type_: ModelType | None,
    base: Base | None,
) -> Page[ModelAnswer]:
    """All models that exist for the caller, with what the caller's plan says of each."""
    tier = await tier_of(session, principal.user_id)
    rows = await repository.list_models(
        session, limit=page.limit, before=page.before, type_=type_, base=base
    )
    return make_page(rows, page.limit, lambda row: show_model(row, tier), lambda row: row.id)
