"""Counts and times every answered request, by route template (never by raw path)."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.telemetry.metrics import http_requests, http_seconds


class RequestMetrics:
    """ASGI middleware; the route template is known once the application has routed."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"]
            http_requests.labels(self.service, method, route, status).inc()
            http_seconds.labels(self.service, method, route).observe(time.perf_counter() - started)
