"""The one translator from failures to RFC 9457 `application/problem+json` answers."""

from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from libs.db.outages import UNREACHABLE, is_away
from libs.kernel.problems import (
    BadRequest,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Problem,
    ServiceUnavailable,
    Unauthorized,
    ValidationFailed,
)
from libs.telemetry.logs import get_logger
from libs.web.request_ids import HEADER, current_request_id

log = get_logger(__name__)
BY_STATUS: dict[int, type[Problem]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
}
ASYNCPG = (asyncpg.PostgresError, asyncpg.InterfaceError)  # of `libs.db.single_statements`


def problem_document(problem: Problem, instance: str) -> dict[str, Any]:
    """The members of an RFC 9457 answer; `request_id` finds the failure in the logs."""
    return {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or problem.title,
        "instance": instance,
        "request_id": current_request_id(),
        **problem.extra,
    }


def answer_problem(request: Request, problem: Problem) -> JSONResponse:
    """One problem as an HTTP answer."""
    return JSONResponse(
        problem_document(problem, request.url.path),
        status_code=problem.status,
        headers={**problem.headers, HEADER: current_request_id()},
        media_type="application/problem+json",
    )


def field_errors(error: RequestValidationError) -> list[dict[str, str]]:
    """Where and what, for every bad field: `{"field": "body.steps", "message": ...}`."""
    return [
        {"field": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
        for item in error.errors()
    ]


def validation_problem(error: RequestValidationError) -> ValidationFailed:
    """A 422 that names every field and what it must be."""
    errors = field_errors(error)
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    return ValidationFailed(detail, errors=errors)


def http_problem(error: HTTPException) -> Problem:
    """The framework's own errors (unknown route, wrong method) in our words.

    A problem that was raised while the body was read arrives here as the error's cause.
    """
    if isinstance(error.__cause__, Problem):
        return error.__cause__
    return BY_STATUS.get(error.status_code, BadRequest)()


def unexpected_problem(error: Exception) -> Problem:
    """A part that does not answer is a 503; anything else is ours, logged, and says nothing."""
    if is_away(error):
        log.warning("dependency_unavailable", error=repr(error))
        return ServiceUnavailable()
    # Said here, too: the outermost handler answers after the log context is gone.
    log.error("request_failed", exc_info=error, request_id=current_request_id())
    return InternalError("The failure was logged under this request id")


def install_problem_answers(app: FastAPI) -> None:
    """Make every failure of an application leave as a problem document."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return answer_problem(request, error)

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answer_problem(request, validation_problem(error))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return answer_problem(request, http_problem(error))

    async def on_anything(request: Request, error: Exception) -> JSONResponse:
        return answer_problem(request, unexpected_problem(error))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    for kind in (DBAPIError, PoolTimeout, *ASYNCPG, *UNREACHABLE):
        app.add_exception_handler(kind, on_anything)
    app.add_exception_handler(Exception, on_anything)
