"""A request id for every request: taken from the gateway or made here, logged and answered."""

import re
from contextvars import ContextVar

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.kernel.ids import new_id

HEADER = "X-Request-Id"
FIELD = HEADER.lower().encode()
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")
_request_id: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """The id of the request that is being answered; empty outside one."""
    return _request_id.get()


class RequestIds:
    """ASGI middleware that binds the id to the log context and puts it on the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        offered = Headers(scope=scope).get(HEADER, "")
        request_id = offered if WELL_FORMED.fullmatch(offered) else new_id().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [field for field in message.get("headers", ()) if field[0] != FIELD]
                message["headers"] = [*others, (FIELD, request_id.encode())]
            await send(message)

        # Each request has a task, and so a context, of its own: nothing has to be taken back.
        _request_id.set(request_id)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        await self.app(scope, receive, send_with_id)
