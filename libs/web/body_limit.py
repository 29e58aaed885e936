"""Refuses request bodies over a limit, declared or streamed, before they fill the memory."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.kernel.problems import PayloadTooLarge
from libs.web.problem_answers import answer_problem

MAX_BODY_BYTES = 1_000_000  # JSON only; pictures go to object storage by presigned URL


class BodyLimit:
    """ASGI middleware: 413 when the body is larger than `max_bytes`."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > self.max_bytes:
            return await self.refuse(scope, receive, send)
        seen = 0

        async def receive_counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                raise PayloadTooLarge(f"At most {self.max_bytes} bytes")
            return message

        await self.app(scope, receive_counted, send)

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 without reading the body."""
        problem = PayloadTooLarge(f"At most {self.max_bytes} bytes")
        await answer_problem(Request(scope), problem)(scope, receive, send)
