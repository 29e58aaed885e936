"""Server-sent events: of one generation, and of all of a user's."""

import re
from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse

from libs.auth.access import users, verified_caller
from libs.auth.dependencies import CurrentPrincipal
from libs.kernel.clock import utc_now
from libs.kernel.problems import ServiceUnavailable, Unauthorized, ValidationFailed
from libs.web.event_streams import EventStream, TooManyStreams, while_welcome
from libs.web.openapi import problem_answers
from services.generation.event_stream import NAMES, has_all, read_job, stream_job
from services.generation.problems import GenerationNotFound
from services.generation.user_stream import stream_user

router = APIRouter(prefix="/api/v1/generations", tags=["events"])
ENTRY_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
EVENT = {
    "description": "One event of the stream",
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "What `Last-Event-ID` resumes after"},
        "event": {"type": "string", "enum": ["snapshot", *NAMES.values(), "closed"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
EXAMPLE = (
    'id: 1763800000000-0\nevent: progress\ndata: {"generation_id":"...","step":5,"steps":20}\n\n'
)
STREAM: dict[str, Any] = {
    "description": "The stream. `retry` says when to come back",
    "content": {"text/event-stream": {"schema": EVENT, "example": EXAMPLE}},
}
REFUSALS = (Unauthorized, ValidationFailed, TooManyStreams, ServiceUnavailable)


def last_event_id(
    given: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Resume after this event")
    ] = None,
) -> str | None:
    """Where a reader was. Raises ValidationFailed for an id that no stream gave out."""
    if not given:
        return None  # browsers send none, or an empty one, after events without an id
    if not ENTRY_ID.fullmatch(given):
        message = "not an event id that this stream gave out"
        field = "header.Last-Event-ID"
        errors = [{"field": field, "message": message}]
        raise ValidationFailed(f"{field}: {message}", errors=errors)
    return given


LastEventId = Annotated[str | None, Depends(last_event_id)]


def answer_stream(
    request: Request, user_id: UUID, events: AsyncGenerator[str, None]
) -> EventStream:
    """The stream, for as long as its caller's login or key is good. Raises TooManyStreams."""
    welcome = while_welcome(events, partial(verified_caller, request))
    return EventStream(welcome, request.app.state.open_streams, user_id)


@router.get(
    "/events",
    dependencies=[users("generations:read")],
    response_class=StreamingResponse,
    responses={200: STREAM, **problem_answers(*REFUSALS)},
)
async def stream_all_events(
    principal: CurrentPrincipal, request: Request, after: LastEventId
) -> Response:
    """What happens to all of one's jobs: snapshot (`jobs` that wait or run), then their events.

    `Last-Event-ID` resumes; where something after it is lost, a snapshot comes again, and a
    `finished` for each job that ended meanwhile. Previews are in the streams of single jobs. The
    stream ends with an event `closed` when the login or key ends or expires.
    """
    state = request.app.state
    events = stream_user(state.sessions, state.redis, principal.user_id, after, clock=utc_now)
    return answer_stream(request, principal.user_id, events)


@router.get(
    "/{generation_id}/events",
    dependencies=[users("generations:read")],
    response_class=StreamingResponse,
    responses={
        200: STREAM,
        204: {"description": "Everything was told: do not come back"},
        **problem_answers(GenerationNotFound, *REFUSALS),
    },
)
async def stream_generation_events(
    generation_id: UUID, principal: CurrentPrincipal, request: Request, after: LastEventId
) -> Response:
    """snapshot, queued(position, eta), started, progress(step, steps, preview), image, finished.

    `Last-Event-ID` resumes; where something after it is lost, all begins anew with the snapshot.
    """
    state = request.app.state
    job = await read_job(state.sessions, principal.user_id, generation_id)
    if await has_all(state.redis, job, after):
        return Response(status_code=204)
    events = stream_job(state.sessions, state.redis, job, after)
    return answer_stream(request, principal.user_id, events)
