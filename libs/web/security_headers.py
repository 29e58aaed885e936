"""What every answer tells a browser: run nothing of it, frame it nowhere, keep no copy.

An answer that carries one of these fields itself keeps its own.
"""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Field = tuple[bytes, bytes]
API_FIELDS: tuple[Field, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
# two years, as browsers' own lists of such hosts ask
ONLY_HTTPS: Field = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


def security_fields(public_url: str) -> tuple[Field, ...]:
    """The fields of a service that browsers know as `public_url`."""
    return (*API_FIELDS, ONLY_HTTPS) if public_url.startswith("https://") else API_FIELDS


class SecurityHeaders:
    """ASGI middleware around everything else, so that failures are answered with them, too."""

    def __init__(self, app: ASGIApp, fields: Sequence[Field]) -> None:
        self.app, self.fields = app, fields

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", ())
                names = {name for name, _ in given}
                missing = [field for field in self.fields if field[0] not in names]
                message["headers"] = [*given, *missing]
            await send(message)

        await self.app(scope, receive, send_safely)
