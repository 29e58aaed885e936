"""OpenAPI declarations of the problems that a route may answer."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict

from libs.kernel.problems import InternalError, Problem, ServiceUnavailable, ValidationFailed

PROBLEM_MEDIA_TYPE = "application/problem+json"
PROBLEM_SCHEMA = "#/components/schemas/ProblemDocument"
EVERYWHERE = (InternalError, ServiceUnavailable)


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
    for problem in problems:
        answer = answers.setdefault(
            problem.status, {"description": "", "content": {PROBLEM_MEDIA_TYPE: {}}}
        )
        content = answer["content"][PROBLEM_MEDIA_TYPE]
        content["schema"] = {"$ref": PROBLEM_SCHEMA}
        content.setdefault("examples", {})[problem.slug] = example_of(problem)
        joined = (answer["description"], f"`{problem.slug}`: {problem.title}")
        answer["description"] = "; ".join(part for part in joined if part)
    return answers


def describe(app: FastAPI) -> dict[str, Any]:
    """The application's OpenAPI document, with what the framework cannot know.

    Adds the schema of problems, what every operation may answer, and takes out the framework's
    own form of a 422, which this platform never answers.
    """
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs"), ProblemDocument=problem)
        for path in document.get("paths", {}).values():
            for operation in path.values():
                complete_answers(operation["responses"])
        app.openapi_schema = document
    return app.openapi_schema


def complete_answers(answers: dict[str, Any]) -> None:
    """Add the problems of every operation to the answers of one."""
    if "application/json" in answers.get("422", {}).get("content", {}):
        del answers["422"]
        answers.update(as_strings(problem_answers(ValidationFailed)))
    for status, answer in as_strings(problem_answers(*EVERYWHERE)).items():
        answers.setdefault(status, answer)


def as_strings(answers: dict[int | str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Statuses as a finished document names them."""
    return {str(status): answer for status, answer in answers.items()}
