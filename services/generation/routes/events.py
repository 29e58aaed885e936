"""Server-sent events of a generation."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.web.openapi import problem_answers
from services.generation.event_stream import NAMES, read_job, stream_job
from services.generation.problems import GenerationNotFound

router = APIRouter(prefix="/api/v1/generations", tags=["events"])
ENTRY_ID = re.compile(r"\d{1,19}-\d{1,19}")
EVENT = {
    "description": "One event of the stream",
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "What `Last-Event-ID` resumes after"},
        "event": {"type": "string", "enum": ["snapshot", *NAMES.values()]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
EXAMPLE = (
    'id: 1763800000000-0\nevent: progress\ndata: {"generation_id":"...","step":5,"steps":20}\n\n'
)
LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="Resume after this event")
]


@router.get(
    "/{generation_id}/events",
    dependencies=[users("generations:read")],
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": EVENT, "example": EXAMPLE}}},
        **problem_answers(Unauthorized, GenerationNotFound, ValidationFailed),
    },
)
async def stream_generation_events(
    generation_id: UUID,
    principal: CurrentPrincipal,
    request: Request,
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """snapshot, queued(position, eta), started, progress(step, steps, preview), image, finished."""
    if last_event_id is not None and not ENTRY_ID.fullmatch(last_event_id):
        message = "not an event id that this stream gave out"
        field = "header.Last-Event-ID"
        errors = [{"field": field, "message": message}]
        raise ValidationFailed(f"{field}: {message}", errors=errors)
    state = request.app.state
    job = await read_job(state.sessions, principal.user_id, generation_id)
    return StreamingResponse(
        stream_job(state.sessions, state.redis, job, last_event_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
