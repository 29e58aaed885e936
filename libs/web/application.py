"""The application factory: every service is made of the same parts in the same order."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from libs.web.cross_origin import allow_origins
from libs.web.documentation import documentation_routes
from libs.web.health import Check, health_routes
from libs.web.openapi import describe
from libs.web.problem_answers import install_problem_answers
from libs.web.rate_limits import RateLimitHeaders
from libs.web.request_ids import RequestIds
from libs.web.request_limits import RequestLimits
from libs.web.request_metrics import RequestMetrics
from libs.web.request_spans import RequestSpans
from libs.web.security_headers import SecurityHeaders, security_fields

# The framework's own spans cost more than a whole request does without; ours are RequestSpans.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """A FastAPI application whose every answer, failures included, browsers may be shown."""

    public_url: str = ""
    cors_origins: Sequence[str] = ()

    def build_middleware_stack(self) -> ASGIApp:
        """What answers failures lies outside of the framework's middleware; this is around it."""
        answering = allow_origins(super().build_middleware_stack(), self.cors_origins)
        return SecurityHeaders(answering, security_fields(self.public_url))


def operation_id(route: APIRoute) -> str:
    """`create_generation`: the route function's name is the operation's name in every client."""
    return route.name


def build_application(
    service: str,
    *,
    description: str,
    routers: Sequence[APIRouter],
    checks: Mapping[str, Check],
    lifespan: Lifespan,
    security_schemes: Mapping[str, Any] | None = None,
    public_url: str = "",
    cors_origins: Sequence[str] = (),
) -> FastAPI:
    """A service's FastAPI application; the last two are of `libs.web.settings.WebSettings`."""
    document_url = f"/openapi/{service}.json"
    app = Application(
        title=f"Easel {service}",
        description=description,
        version="1",
        openapi_url=document_url,  # the documentation page asks for it, behind the gateway too
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        separate_input_output_schemas=False,
        telemetry=NO_TELEMETRY,
    )
    app.openapi = partial(describe, app, security_schemes or {})  # type: ignore[method-assign]
    app.add_api_route("/openapi.json", app.openapi, include_in_schema=False)
    install_problem_answers(app)
    own = (health_routes(checks), documentation_routes(app.title, document_url))
    for router in (*routers, *own):  # each is matched in turn: what is asked for most comes first
        app.include_router(router)
    app.add_middleware(RequestLimits)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(RequestMetrics, service=service)
    app.add_middleware(RequestIds)
    app.add_middleware(RequestSpans)
    app.public_url, app.cors_origins = public_url, cors_origins
    return app
