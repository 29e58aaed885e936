"""A server span for every request, child of the caller's `traceparent` (W3C Trace Context)."""

from opentelemetry import context, trace
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
        # by hand: the library's context manager costs as much as all other middleware together
        span = tracer.start_span(
            scope["method"], context=parent_of(scope), kind=trace.SpanKind.SERVER
        )
        token = context.attach(trace.set_span_in_context(span))
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            span.record_exception(error)
            raise
        finally:
            context.detach(token)
            route = getattr(scope.get("route"), "path", "unmatched")
            span.update_name(f"{scope['method']} {route}")
            span.end()


def parent_of(scope: Scope) -> context.Context | None:
    """The caller's span, if it sent one."""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return context_from({"traceparent": value.decode("latin-1")})
    return None
