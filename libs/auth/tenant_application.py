"""The composition that all tenant-facing services share: pool, token verifier, HTTP client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI

from libs.auth.access import SECURITY_SCHEMES, declare_access
from libs.auth.api_keys import ApiKeys
from libs.auth.ended_logins import EndedLogins
from libs.auth.keys import TokenVerifier
from libs.db.engine import build_engine, build_sessions
from libs.db.transaction import check_database
from libs.telemetry.logs import configure_logs
from libs.telemetry.tracing import configure_tracing
from libs.web.application import build_application
from libs.web.health import Check
from libs.web.rate_limits import build_rate_limiter
from libs.web.settings import WebSettings

Work = Callable[[FastAPI], Coroutine[Any, Any, None]]


class TenantServiceSettings(WebSettings):
    """What every service that serves users needs.

    Requests are counted in `limits_redis_url`, a Redis that may forget; without it, in `redis_url`.
    """

    database_url: str
    jwks_url: str
    redis_url: str
    limits_redis_url: str = ""
    token_issuer: str = "easel"


def build_tenant_application(
    service: str,
    settings: TenantServiceSettings,
    *,
    description: str,
    routers: Sequence[APIRouter],
    checks: Mapping[str, Check] | None = None,
    on_stop: Sequence[Callable[[], Awaitable[None]]] = (),
    background: Sequence[Work] = (),
) -> FastAPI:
    """A service with `app.state.{service,settings,sessions,http}` and what verifies its callers.

    `background` runs beside the requests; `on_stop` closes what the root adds. Nothing connects
    before the first request. Raises RuntimeError for a route that does not declare who may enter.
    """
    configure_logs(service, settings.log_level)
    configure_tracing(service)
    engine = build_engine(settings.database_url, application=f"easel-{service}")
    sessions = build_sessions(engine)
    http = httpx.AsyncClient(timeout=5.0)

    declare_access(routers)
    app = build_application(
        service,
        description=description,
        routers=routers,
        checks={"database": partial(check_database, sessions), **(checks or {})},
        lifespan=partial(living, background, (http.aclose, *on_stop, engine.dispose)),
        security_schemes=SECURITY_SCHEMES,
        public_url=settings.public_url,
        cors_origins=settings.cors_origins,
    )
    app.state.service, app.state.settings = service, settings
    app.state.sessions, app.state.http = sessions, http
    return verify_callers(app)


@asynccontextmanager
async def living(
    background: Sequence[Work], closers: Sequence[Callable[[], Awaitable[None]]], app: FastAPI
) -> AsyncIterator[None]:
    """The life of an application: what it opened is closed after its last answer."""
    tasks = [asyncio.create_task(work(app)) for work in background]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for close in (app.state.rate_limiter.close, *closers):
        await close()


def verify_callers(app: FastAPI) -> FastAPI:
    """Add what `libs.auth.access` asks: the issuer's keys, ended logins, API keys, counts."""
    state, settings = app.state, app.state.settings
    state.token_verifier = TokenVerifier(settings.jwks_url, settings.token_issuer, state.http)
    state.ended_logins = EndedLogins(state.sessions)
    state.api_keys = ApiKeys(state.sessions)
    state.rate_limiter = build_rate_limiter(settings.limits_redis_url or settings.redis_url)
    return app
