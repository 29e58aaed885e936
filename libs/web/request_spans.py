"""A server span for every request, child of the caller's `traceparent` (W3C Trace Context)."""

from opentelemetry import trace
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.telemetry.tracing import context_from

tracer = trace.get_tracer(__name__)


class RequestSpans:
    """ASGI middleware: what the request logs and sends carries its trace."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        parent = context_from({"traceparent": Headers(scope=scope).get("traceparent")})
        with tracer.start_as_current_span(
            scope["method"], context=parent, kind=trace.SpanKind.SERVER
        ) as span:
            await self.app(scope, receive, send)
            route = getattr(scope.get("route"), "path", "unmatched")
            span.update_name(f"{scope['method']} {route}")
