"""The failures that the platform tells its users about (RFC 9457 problem details).

One class per failure. A class is data: what it is called, which HTTP status it maps to, and one
sentence of title. `libs.web.problem_answers` is the only translator to HTTP; docs/problems/ holds
one page per slug.
"""

from typing import Any, ClassVar


class Problem(Exception):
    """Base of every failure that may leave the platform.

    `detail` is a sentence for the caller; `extra` becomes further members of the answer and must
    be JSON-serialisable; `headers` become HTTP headers (`Retry-After`, `WWW-Authenticate`).
    """

    slug: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(
        self,
        detail: str = "",
        *,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers = headers or {}
        self.extra = extra


class InternalError(Problem):
    """An unexpected failure; its cause is in the log under the request id, never in the answer."""


class BadRequest(Problem):
    slug, status, title = "bad-request", 400, "The request cannot be understood"


class ValidationFailed(Problem):
    slug, status, title = "validation-failed", 422, "Some fields are not valid"


class Unauthorized(Problem):
    slug, status, title = "unauthorized", 401, "A valid access token is needed"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(Problem):
    slug, status, title = "forbidden", 403, "This is not allowed for you"


class NotFound(Problem):
    slug, status, title = "not-found", 404, "There is no such thing here"


class MethodNotAllowed(Problem):
    slug, status, title = "method-not-allowed", 405, "This address does not answer that method"


class Conflict(Problem):
    slug, status, title = "conflict", 409, "The request contradicts the current state"


class PayloadTooLarge(Problem):
    slug, status, title = "payload-too-large", 413, "The request body is too large"


class HeadersTooLarge(Problem):
    slug, status, title = "headers-too-large", 431, "The request's address or headers are too large"


class RateLimited(Problem):
    """Over a limit; `retry_after_seconds` says when to come back, in the body and the header.

    Where it is known, `limit` names the limit, `used` and `allowed` are its numbers.
    """

    slug, status, title = "rate-limited", 429, "Too many requests"

    def __init__(self, detail: str, *, retry_after_seconds: int, **extra: Any) -> None:
        headers = {"Retry-After": str(retry_after_seconds)}
        extra["retry_after_seconds"] = retry_after_seconds
        super().__init__(detail, headers=headers, **extra)


class ServiceUnavailable(Problem):
    slug, status, title = "service-unavailable", 503, "A part that is needed does not answer"

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})


def all_problems(base: type[Problem] = Problem) -> list[type[Problem]]:
    """Every problem class that is imported, sorted by slug; what the docs test walks over."""
    found = {base}
    for child in base.__subclasses__():
        found.update(all_problems(child))
    return sorted(found, key=lambda problem: problem.slug)
