"""Uploading pictures of one's own, and the room that is left for them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.clock import utc_now
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.web.idempotency import (
    Answer,
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
    answer_once,
)
from libs.web.openapi import problem_answers
from services.gallery.problems import (
    ImageNotValid,
    StorageFull,
    TooManyUploads,
    UploadNotFinished,
    UploadNotFound,
)
from services.gallery.routes.images import Store
from services.gallery.schemas import ImageAnswer, StorageAnswer, UploadAnswer, UploadRequest
from services.gallery.service import storage, uploads
from services.gallery.service.uploads import Desk

router = APIRouter(prefix="/api/v1", tags=["uploads"])
BEGINNING = (
    Unauthorized,
    ValidationFailed,
    StorageFull,
    TooManyUploads,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
)
COMPLETING = (
    Unauthorized,
    UploadNotFound,
    UploadNotFinished,
    ImageNotValid,
    ValidationFailed,
    StorageFull,
)


def upload_desk(request: Request) -> Desk:
    """What the composition root made."""
    state = request.app.state
    return Desk(state.sessions, state.store, state.decoder, utc_now)


@router.post(
    "/images/uploads",
    dependencies=[users("images:write")],
    status_code=201,
    response_model=UploadAnswer,
    responses=problem_answers(*BEGINNING),
)
async def begin_upload(
    body: UploadRequest,
    session: TenantSession,
    principal: CurrentPrincipal,
    store: Store,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Announce a picture of at most 20 MiB and get the URL that takes it for 15 minutes."""

    async def begin() -> Answer:
        begun = await uploads.begin_upload(
            session, principal.user_id, body, store=store, clock=utc_now
        )
        return Answer(201, begun, {"Location": f"/api/v1/images/{begun.id}"})

    return await answer_once(
        session,
        user_id=principal.user_id,
        operation="begin_upload",
        key=idempotency_key,
        request=body,
        run=begin,
    )


@router.post(
    "/images/{image_id}/complete",
    dependencies=[users("images:write")],
    responses=problem_answers(*COMPLETING),
)
async def complete_upload(
    image_id: UUID, principal: CurrentPrincipal, desk: Annotated[Desk, Depends(upload_desk)]
) -> ImageAnswer:
    """Read the file that was sent and put it into the gallery.

    What it is, its content tells; it is decoded in full and encoded anew, upright and without
    anything but its pixels. A file that is refused ends the upload.
    """
    return await uploads.complete_upload(desk, principal.user_id, image_id)


@router.get(
    "/storage", dependencies=[users("images:read")], responses=problem_answers(Unauthorized)
)
async def get_storage(session: TenantSession, principal: CurrentPrincipal) -> StorageAnswer:
    """Bytes used, bytes that unfinished uploads hold, and what the plan includes."""
    return await storage.show_storage(session, principal.user_id)
