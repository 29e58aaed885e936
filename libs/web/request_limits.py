"""Refuses requests whose head or body is over a limit, before they fill the memory.

The body's size is taken as declared and counted as it streams.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.kernel.problems import HeadersTooLarge, PayloadTooLarge, Problem
from libs.web.json_bodies import require_sound
from libs.web.problem_answers import answer_problem

MAX_BODY_BYTES = 1_000_000  # JSON only; pictures go to object storage by presigned URL
MAX_HEADERS = 100
MAX_HEAD_BYTES = 32_768  # the address and all headers


class RequestLimits:
    """ASGI middleware: 431 for the head, 413 for the body, 400 for JSON that is not sound."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        problem = self.over_the_head(scope)
        if problem is not None:
            return await answer_problem(Request(scope), problem)(scope, receive, send)
        body = b""

        async def receive_counted() -> Message:
            nonlocal body
            message = await receive()
            if message["type"] == "http.request":
                body += message.get("body", b"")
                if len(body) > self.max_bytes:
                    raise self.too_large()
                if not message.get("more_body"):
                    require_sound(body)
            return message

        await self.app(scope, receive_counted, send)

    def over_the_head(self, scope: Scope) -> Problem | None:
        """What is wrong with a request as far as its head tells."""
        headers = scope["headers"]
        size, declared = len(scope["path"]) + len(scope["query_string"]), b"0"
        for name, value in headers:
            size += len(name) + len(value)
            if name == b"content-length":
                declared = value
        if len(headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
            return HeadersTooLarge(f"At most {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes")
        if not declared.isdigit() or int(declared) > self.max_bytes:
            return self.too_large()
        return None

    def too_large(self) -> PayloadTooLarge:
        """The refusal that names the limit."""
        return PayloadTooLarge(f"At most {self.max_bytes} bytes")
