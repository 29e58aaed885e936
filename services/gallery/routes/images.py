"""The caller's images."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.clock import utc_now
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.storage.objects import ObjectStore
from libs.web.moments import Moment
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from libs.web.text_fields import PlainText
from services.gallery.problems import ImageNotFound, ImageNotGenerated
from services.gallery.repository.images import ImageFilter
from services.gallery.schemas import ImageAnswer, ImageChange, Source
from services.gallery.service import images

router = APIRouter(prefix="/api/v1/images", tags=["images"])
ONE = (Unauthorized, ImageNotFound, ValidationFailed)


def object_store(request: Request) -> ObjectStore:
    """The store that the composition root made."""
    store: ObjectStore = request.app.state.store
    return store


Store = Annotated[ObjectStore, Depends(object_store)]


def image_filter(
    board_id: Annotated[UUID | None, Query(description="Only images on this board")] = None,
    q: Annotated[
        PlainText | None, Query(max_length=200, description="Words of the prompt, as a web search")
    ] = None,
    model: Annotated[PlainText | None, Query(max_length=100, description="Of this model")] = None,
    starred: Annotated[bool | None, Query(description="Only starred ones, or only others")] = None,
    created_from: Annotated[
        Moment | None, Query(alias="from", description="Made then or later")
    ] = None,
    created_to: Annotated[Moment | None, Query(alias="to", description="Made before")] = None,
    source: Annotated[Source | None, Query(description="Only generated or uploaded ones")] = None,
) -> ImageFilter:
    """FastAPI dependency for the filters of the list."""
    return ImageFilter(board_id, q, model, starred, created_from, created_to, source)


@router.get(
    "",
    dependencies=[users("images:read")],
    responses=problem_answers(Unauthorized, ValidationFailed),
)
async def list_images(
    wanted: Annotated[ImageFilter, Depends(image_filter)],
    page: PageQuery,
    session: TenantSession,
    store: Store,
) -> Page[ImageAnswer]:
    """The caller's images, newest first."""
    return await images.list_images(session, wanted, page, store=store, clock=utc_now)


@router.get("/{image_id}", dependencies=[users("images:read")], responses=problem_answers(*ONE))
async def get_image(image_id: UUID, session: TenantSession, store: Store) -> ImageAnswer:
    """One image with URLs that read it for 15 minutes."""
    return await images.get_image(session, image_id, store=store, clock=utc_now)


@router.patch("/{image_id}", dependencies=[users("images:write")], responses=problem_answers(*ONE))
async def change_image(
    image_id: UUID, body: ImageChange, session: TenantSession, store: Store
) -> ImageAnswer:
    """Star or unstar an image."""
    return await images.change_image(session, image_id, body, store=store, clock=utc_now)


@router.delete(
    "/{image_id}",
    dependencies=[users("images:write")],
    status_code=204,
    responses=problem_answers(*ONE),
)
async def delete_image(
    image_id: UUID, request: Request, principal: CurrentPrincipal, store: Store
) -> None:
    """Delete an image for good: its files, and its place on every board."""
    await images.delete_image(request.app.state.sessions, principal.user_id, image_id, store=store)


@router.get(
    "/{image_id}/recall",
    dependencies=[users("images:read")],
    responses=problem_answers(*ONE, ImageNotGenerated),
)
async def recall_request(image_id: UUID, session: TenantSession) -> dict[str, Any]:
    """The generation request that makes this image again, pixel by pixel."""
    return await images.recall_request(session, image_id)
