"""Which pages of other origins may call the API from a browser (CORS, Fetch Standard section 3.2).

Credentials are never allowed: such pages send their token themselves, and no cookie travels.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SENT = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-Id")
READ = (
    "Idempotency-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Request-Id",
)
PREFLIGHT_SECONDS = 600


def require_origin(origin: str) -> str:
    """The origin, or `*`. Raises ValueError for anything that no browser would send."""
    parts = urlsplit(origin)
    if origin != "*" and (
        parts.scheme not in ("https", "http") or origin != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ValueError(f"{origin!r} is no origin: scheme://host[:port]")
    return origin


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The application, open to pages of these origins; to none without any."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=SENT,
        expose_headers=READ,
        allow_credentials=False,
        max_age=PREFLIGHT_SECONDS,
    )
