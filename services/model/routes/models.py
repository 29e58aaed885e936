"""What can be asked for."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from libs.auth.access import anyone, users
from libs.auth.dependencies import CurrentPrincipal, OpenSession, TenantSession
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.tiers.catalogue import Base
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from services.model import service
from services.model.client.contracts import NAME_PATTERN, ModelInfo, ModelType
from services.model.client.problems import ModelNotFound
from services.model.schemas import ModelAnswer

router = APIRouter(prefix="/api/v1/models", tags=["models"])
internal = APIRouter(prefix="/internal/v1/models", tags=["for other services"])
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="A slug or an id")]


@router.get(
    "",
    dependencies=[users("models:read")],
    responses=problem_answers(Unauthorized, ValidationFailed),
)
async def list_models(
    session: TenantSession,
    principal: CurrentPrincipal,
    page: PageQuery,
    type: Annotated[ModelType | None, Query(description="Only models of this type")] = None,
    base: Annotated[Base | None, Query(description="Only models of this base")] = None,
) -> Page[ModelAnswer]:
    """Every model, whether the caller's plan includes it, and what a step and an image cost."""
    return await service.list_models(session, principal, page, type_=type, base=base)


@router.get(
    "/{name}",
    dependencies=[users("models:read")],
    responses=problem_answers(Unauthorized, ModelNotFound, ValidationFailed),
)
async def get_model(name: Name, session: TenantSession, principal: CurrentPrincipal) -> ModelAnswer:
    """One model by slug or id."""
    return await service.get_model(session, principal, name)


@internal.get(
    "/{name}",
    dependencies=[anyone(is_counted=False)],
    responses=problem_answers(ModelNotFound, ValidationFailed),
)
async def describe_model(name: Name, session: OpenSession) -> ModelInfo:
    """An official model, for other services; the gateway does not route here, and it tells no
    more than what every user may see.
    """
    return ModelInfo.model_validate(await service.require_model(session, name))
