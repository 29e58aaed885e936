"""The verbs of uploads: begin, complete, and clear away what was not finished.

A stranger's file arrives beside the images and becomes one when it has been read. No transaction
is open while the store or the reader works; what is left half done expires.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.storage.objects import ObjectStore
from libs.telemetry.logs import get_logger
from services.gallery.decoding import Decoder
from services.gallery.models import Image, Upload
from services.gallery.picture_files import Picture
from services.gallery.problems import (
    ImageNotValid,
    StorageFull,
    TooManyUploads,
    UploadNotFinished,
    UploadNotFound,
    store_must_answer,
)
from services.gallery.repository import images, uploads
from services.gallery.schemas import ImageAnswer, UploadAnswer, UploadRequest, UploadTarget
from services.gallery.service.images import show_image
from services.gallery.service.storage import require_room

log = get_logger(__name__)
URL_LIFETIME = timedelta(minutes=15)
UPLOAD_LIFETIME = timedelta(minutes=30)
MAX_UPLOADS = 50  # of one user, under way
SWEEP_SECONDS = 60.0
SWEEP_ROWS = 100


@dataclass(frozen=True)
class Desk:
    """What completing an upload works with."""

    sessions: Sessions
    store: ObjectStore
    decoder: Decoder
    clock: Clock


async def begin_upload(
    session: AsyncSession,
    user_id: UUID,
    request: UploadRequest,
    *,
    store: ObjectStore,
    clock: Clock,
) -> UploadAnswer:
    """Reserve the room and say where to send the file. Raises StorageFull, TooManyUploads."""
    now = clock()
    await uploads.lock_storage(session, user_id)
    if (await uploads.measure_storage(session, user_id)).uploads >= MAX_UPLOADS:
        end = await uploads.next_end(session, user_id) or now
        wait = max(1, int((end - now).total_seconds()))
        raise TooManyUploads(
            f"{MAX_UPLOADS} are under way",
            retry_after_seconds=wait,
            limit="uploads",
            used=MAX_UPLOADS,
            allowed=MAX_UPLOADS,
        )
    await require_room(session, user_id, request.bytes)
    upload = Upload(
        id=new_id(),
        user_id=user_id,
        content_type=request.content_type,
        size_bytes=request.bytes,
        sha256=bytes.fromhex(request.sha256) if request.sha256 else None,
        created_at=now,
        expires_at=now + UPLOAD_LIFETIME,
    )
    session.add(upload)
    return show_upload(upload, store)


def show_upload(upload: Upload, store: ObjectStore) -> UploadAnswer:
    """An upload as its owner sees it."""
    url, headers = store.presign_put(
        upload.object_key,
        content_type=upload.content_type,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        lifetime_seconds=int(URL_LIFETIME.total_seconds()),
    )
    target = UploadTarget(method="PUT", url=url, headers=headers)
    return UploadAnswer(id=upload.id, upload=target, expires_at=upload.expires_at)


async def complete_upload(desk: Desk, user_id: UUID, upload_id: UUID) -> ImageAnswer:
    """Read the file that arrived and make it an image. A repeat answers the same image.

    Raises UploadNotFound, UploadNotFinished, ImageNotValid (which ends the upload), StorageFull
    (which ends it, too), ServiceUnavailable while the store is away.
    """
    async with desk.decoder.place(user_id):
        image = await make_image(desk, user_id, upload_id)
    return show_image(image, desk.store, desk.clock)


async def make_image(desk: Desk, user_id: UUID, upload_id: UUID) -> Image:
    """The image of an upload, made now unless it was before. Raises as `complete_upload` does."""
    async with transaction(desk.sessions, user_id) as session:
        image = await images.find_image(session, upload_id)
        upload = await uploads.find_upload(session, upload_id)
    if image is not None and image.source == "upload":
        return image
    if upload is None or upload.expires_at <= desk.clock():
        raise UploadNotFound()
    try:
        picture = await desk.decoder.read(await read_file(upload, desk.store))
        image = await keep_picture(desk, upload, picture)
    except (ImageNotValid, StorageFull):
        await end_refused(desk, upload)
        raise
    with store_must_answer():
        await desk.store.delete(upload.object_key)
    return image


async def read_file(upload: Upload, store: ObjectStore) -> bytes:
    """The file as it was declared. Raises UploadNotFinished, ImageNotValid, ServiceUnavailable."""
    with store_must_answer():
        data = await store.read_at_most(upload.object_key, upload.size_bytes + 1)
    if data is None:
        raise UploadNotFinished("Send the file to the URL first")
    if len(data) != upload.size_bytes:
        raise ImageNotValid(f"The file does not have the declared {upload.size_bytes} bytes")
    if upload.sha256 is not None and hashlib.sha256(data).digest() != upload.sha256:
        raise ImageNotValid("The file does not have the declared SHA-256")
    return data


def image_of(upload: Upload, picture: Picture) -> Image:
    """The row of a picture whose objects lie by its id and its upload's month."""
    facts, place = picture.facts, place_of(upload)
    return Image(
        id=upload.id,
        user_id=upload.user_id,
        source="upload",
        object_key=f"{place}.{facts.format}",
        thumbnail_key=f"{place}.thumbnail.webp",
        format=facts.format,
        width=facts.width,
        height=facts.height,
        size_bytes=facts.size_bytes,
        prompt="",
        negative_prompt="",
        parameters={},
        manifest={},
        starred=False,
        created_at=upload.created_at,
    )


async def keep_picture(desk: Desk, upload: Upload, picture: Picture) -> Image:
    """Store the objects, then the row in the upload's place. Raises StorageFull, UploadNotFound.

    Of two requests at once both store the same objects, and one makes the row.
    """
    image = image_of(upload, picture)
    with store_must_answer():
        media_type = f"image/{image.format}"
        await desk.store.put(image.object_key, picture.body, content_type=media_type)
        await desk.store.put(image.thumbnail_key, picture.thumbnail, content_type="image/webp")
    kept = await keep_row(desk, upload, image)
    if kept is None:
        with store_must_answer():  # nobody would know of them
            keys = (upload.object_key, image.object_key, image.thumbnail_key)
            await desk.store.delete(*keys)
        raise UploadNotFound()
    return kept


async def keep_row(desk: Desk, upload: Upload, image: Image) -> Image | None:
    """The row that is there afterwards; None if upload and image were deleted meanwhile."""
    async with transaction(desk.sessions, upload.user_id) as session:
        await uploads.lock_storage(session, upload.user_id)
        if not await uploads.end_upload(session, upload.id):
            return await images.find_image(session, upload.id)
        await require_room(session, upload.user_id, image.size_bytes)
        session.add(image)
    return image


def place_of(upload: Upload) -> str:
    """What the keys of the image's objects begin with."""
    return f"{upload.user_id}/{upload.created_at:%Y/%m}/{upload.id}"


async def end_refused(desk: Desk, upload: Upload) -> None:
    """End an upload that no image came of; objects go only if no other request made one of it."""
    with store_must_answer():
        await desk.store.delete(upload.object_key)
        async with transaction(desk.sessions, upload.user_id) as session:
            ended = await uploads.end_upload(session, upload.id)
        if ended:
            await desk.store.delete_below(place_of(upload), pages=1)


async def clear_abandoned(sessions: Sessions, store: ObjectStore) -> int:
    """Clear away uploads that expired a while ago, each with all its objects; how many.

    Of one that has ended, what was sent to its URL afterwards.
    """
    async with transaction(sessions) as session:
        abandoned = await uploads.list_abandoned(session, SWEEP_ROWS)
    for upload in abandoned:
        await store.delete(upload.object_key)
        if upload.ended_at is None:
            await store.delete_below(place_of(upload), pages=1)
        async with transaction(sessions, upload.user_id) as session:
            await uploads.forget_upload(session, upload.id)
    return len(abandoned)


async def clear_forever(sessions: Sessions, store: ObjectStore) -> None:
    """Clear away every minute; an outage of a part ends one round, not the rounds."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            while await clear_abandoned(sessions, store) == SWEEP_ROWS:
                pass
        except Exception as error:  # noqa: BLE001 - whatever failed, the next round tries again
            log.warning("uploads_not_cleared", error=repr(error))
