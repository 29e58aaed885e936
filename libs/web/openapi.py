"""OpenAPI declarations of the problems that a route may answer."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict

from libs.kernel.problems import (
    BadRequest,
    HeadersTooLarge,
    InternalError,
    PayloadTooLarge,
    Problem,
    RateLimited,
    ServiceUnavailable,
    ValidationFailed,
)

PROBLEM_MEDIA_TYPE = "application/problem+json"
PROBLEM_SCHEMA = "#/components/schemas/ProblemDocument"
EVERYWHERE: tuple[type[Problem], ...] = (
    InternalError,
    ServiceUnavailable,
    RateLimited,
    HeadersTooLarge,
)
BODY = (BadRequest, PayloadTooLarge)  # of operations that read one: no JSON, too much of it


class FieldError(BaseModel):
    """One bad field of a request."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldError] | None = None


def example_of(problem: type[Problem]) -> dict[str, Any]:
    """What a caller sees when this problem is answered."""
    return {
        "summary": problem.title,
        "value": {
            "type": f"/problems/{problem.slug}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.title,
            "instance": "/api/v1/...",
            "request_id": "019a2b3c4d5e7f8090a1b2c3d4e5f607",
        },
    }


def problem_answers(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: one entry a status, one named example a problem."""
    answers: dict[int | str, dict[str, Any]] = {}
    add_problem_answers(answers, problems)
    return answers


def add_problem_answers(
    answers: dict[int | str, dict[str, Any]], problems: Iterable[type[Problem]]
) -> None:
    """Add problems to the `responses=` of a route, each once."""
    for problem in problems:
        answer = answers.setdefault(problem.status, {"description": ""})
        content = answer.setdefault("content", {}).setdefault(PROBLEM_MEDIA_TYPE, {})
        content["schema"] = {"$ref": PROBLEM_SCHEMA}
        examples = content.setdefault("examples", {})
        if problem.slug not in examples:
            examples[problem.slug] = example_of(problem)
            joined = (answer["description"], f"`{problem.slug}`: {problem.title}")
            answer["description"] = "; ".join(part for part in joined if part)


def describe(app: FastAPI, security_schemes: Mapping[str, Any]) -> dict[str, Any]:
    """The application's OpenAPI document, with what the framework cannot know.

    Adds how callers prove who they are, the schema of problems and what every operation may
    answer, and takes out the framework's own form of a 422, which this platform never answers.
    """
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = document.setdefault("components", {})
        if security_schemes:
            components["securitySchemes"] = dict(security_schemes)
        schemas = components.setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs"), ProblemDocument=problem)
        for path in document.get("paths", {}).values():
            for operation in path.values():
                takes_body = "requestBody" in operation
                complete_answers(operation["responses"], BODY if takes_body else ())
        app.openapi_schema = document
    return app.openapi_schema


def complete_answers(answers: dict[str, Any], further: Iterable[type[Problem]] = ()) -> None:
    """Add the problems of every operation, and further ones, to the answers of one."""
    if "application/json" in answers.get("422", {}).get("content", {}):
        del answers["422"]
        answers.update(as_strings(problem_answers(ValidationFailed)))
    for problem in (*EVERYWHERE, *further):
        (added,) = problem_answers(problem).values()
        answer = answers.setdefault(str(problem.status), added)
        content = answer.get("content", {}).get(PROBLEM_MEDIA_TYPE, {})
        content.get("examples", {}).setdefault(problem.slug, example_of(problem))


def as_strings(answers: dict[int | str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Statuses as a finished document names them."""
    return {str(status): answer for status, answer in answers.items()}
