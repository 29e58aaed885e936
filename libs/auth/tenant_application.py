"""The composition that all tenant-facing services share: pool, token verifier, HTTP client."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import httpx
from fastapi import APIRouter, FastAPI

from libs.auth.keys import TokenVerifier
from libs.db.engine import build_engine, build_sessions
from libs.db.transaction import check_database
from libs.kernel.settings import Settings
from libs.telemetry.logs import configure_logs
from libs.telemetry.tracing import configure_tracing
from libs.web.application import build_application
from libs.web.health import Check


class TenantServiceSettings(Settings):
    """What every service that serves users needs."""

    port: int
    database_url: str
    jwks_url: str
    token_issuer: str = "easel"


def build_tenant_application(
    service: str,
    settings: TenantServiceSettings,
    *,
    description: str,
    routers: Sequence[APIRouter],
    checks: Mapping[str, Check] | None = None,
    on_stop: Sequence[Callable[[], Awaitable[None]]] = (),
) -> FastAPI:
    """A service with `app.state.{settings,sessions,http,token_verifier}`; a root adds its own.

    `on_stop` are async closers of what the root added. Nothing connects before the first request.
    """
    configure_logs(service, settings.log_level)
    configure_tracing(service)
    engine = build_engine(settings.database_url, application=f"easel-{service}")
    sessions = build_sessions(engine)
    http = httpx.AsyncClient(timeout=5.0)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await http.aclose()
        for close in on_stop:
            await close()
        await engine.dispose()

    app = build_application(
        service,
        description=description,
        routers=routers,
        checks={"database": partial(check_database, sessions), **(checks or {})},
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.sessions = sessions
    app.state.http = http
    app.state.token_verifier = TokenVerifier(settings.jwks_url, settings.token_issuer, http)
    return app
