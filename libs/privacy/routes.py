"""What the internal routes about a user's data have in common."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Response
from fastapi.responses import JSONResponse

from libs.auth.dependencies import CurrentPrincipal
from libs.kernel.problems import Forbidden, Unauthorized, ValidationFailed
from libs.privacy.contract import Waiting
from libs.web.openapi import problem_answers

REFUSED = problem_answers(Unauthorized, Forbidden, ValidationFailed)
ERASING: dict[int | str, dict[str, Any]] = {
    202: {"model": Waiting, "description": "Something has to end first: ask again"},
    **REFUSED,
}
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before")
]


def subject(user_id: UUID, principal: CurrentPrincipal) -> UUID:
    """The user in the path, for whom the service token was made. Raises Forbidden (403)."""
    if user_id != principal.user_id:
        raise Forbidden("The token was made for another user")
    return user_id


Subject = Annotated[UUID, Depends(subject)]


def answer_erasure(waits_for: str | None) -> Response:
    """204: all is gone. 202: what has to end first."""
    if waits_for is None:
        return Response(status_code=204)
    return JSONResponse(Waiting(waits_for=waits_for).model_dump(), 202)
