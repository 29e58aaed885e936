"""The verbs of images: list, read, star, recall."""

from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.clock import Clock
from libs.storage.objects import ObjectStore
from libs.web.pagination import Page, PageRequest, make_page
from services.gallery.models import Image
from services.gallery.problems import ImageNotFound, ImageNotGenerated, store_must_answer
from services.gallery.repository import images
from services.gallery.repository.images import ImageFilter
from services.gallery.schemas import ImageAnswer, ImageChange, Source

URL_LIFETIME = timedelta(minutes=15)


async def require_image(session: AsyncSession, image_id: UUID) -> Image:
    """One of the tenant's images. Raises ImageNotFound, also for other people's."""
    image = await images.find_image(session, image_id)
    if image is None:
        raise ImageNotFound()
    return image


def show_image(image: Image, store: ObjectStore, clock: Clock) -> ImageAnswer:
    """An image as its owner sees it; signing its URLs needs no network."""
    seconds = int(URL_LIFETIME.total_seconds())
    return ImageAnswer(
        id=image.id,
        source=cast(Source, image.source),
        generation_id=image.job_id,
        url=store.presign_get(image.object_key, lifetime_seconds=seconds),
        thumbnail_url=store.presign_get(image.thumbnail_key, lifetime_seconds=seconds),
        urls_expire_at=clock() + URL_LIFETIME,
        format=image.format,
        width=image.width,
        height=image.height,
        size_bytes=image.size_bytes,
        seed=image.seed,
        model=image.model,
        prompt=image.prompt,
        negative_prompt=image.negative_prompt,
        parameters=image.parameters,
        starred=image.starred,
        created_at=image.created_at,
    )


async def list_images(
    session: AsyncSession,
    wanted: ImageFilter,
    page: PageRequest,
    *,
    store: ObjectStore,
    clock: Clock,
) -> Page[ImageAnswer]:
    """The tenant's images that match a filter, newest first."""
    rows = await images.list_images(session, wanted, limit=page.limit, before=page.before)
    return make_page(
        rows, page.limit, lambda image: show_image(image, store, clock), lambda image: image.id
    )


async def get_image(
    session: AsyncSession, image_id: UUID, *, store: ObjectStore, clock: Clock
) -> ImageAnswer:
    """One image. Raises ImageNotFound."""
    return show_image(await require_image(session, image_id), store, clock)


async def change_image(
    session: AsyncSession,
    image_id: UUID,
    change: ImageChange,
    *,
    store: ObjectStore,
    clock: Clock,
) -> ImageAnswer:
    """Star or unstar. Raises ImageNotFound."""
    image = await require_image(session, image_id)
    image.starred = change.starred
    return show_image(image, store, clock)


async def recall_request(session: AsyncSession, image_id: UUID) -> dict[str, Any]:
    """The generation request that makes the image again.

    Raises ImageNotFound, ImageNotGenerated.
    """
    image = await require_image(session, image_id)
    if image.source != "generation":
        raise ImageNotGenerated()
    return image.parameters


async def delete_image(
    sessions: Sessions, user_id: UUID, image_id: UUID, *, store: ObjectStore
) -> None:
    """Delete an image: its objects, then its row, so that a failure between is repeated.

    Raises ImageNotFound, ServiceUnavailable while the store is away.
    """
    async with transaction(sessions, user_id) as session:
        image = await require_image(session, image_id)
    with store_must_answer():
        await store.delete(image.object_key, image.thumbnail_key)
    async with transaction(sessions, user_id) as session:
        await images.delete_image(session, image_id)
