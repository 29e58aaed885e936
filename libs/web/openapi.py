"""OpenAPI declarations of the problems that a route may answer."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from libs.kernel.problems import Problem


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
            problem.status,
            {
                "model": ProblemDocument,
                "description": "",
                "content": {"application/problem+json": {"examples": {}}},
            },
        )
        answer["content"]["application/problem+json"]["examples"][problem.slug] = example_of(
            problem
        )
        joined = (answer["description"], f"`{problem.slug}`: {problem.title}")
        answer["description"] = "; ".join(part for part in joined if part)
    return answers
