from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from libs.auth.keys import TokenVerifier
from libs.auth.signing_keys import make_signing_key
from libs.db.engine import Sessions
from libs.kernel.clock import Clock, utc_now
from libs.testkit.postgres import Database
from services.user.app import build_app
from services.user.settings import UserSettings
from tests.services.user.accounts import PUBLIC_URL, UserApi

JWKS_URL = "http://user/api/v1/auth/.well-known/jwks.json"
SessionsOf = Callable[[str], Sessions]
OpenApi = Callable[..., AbstractAsyncContextManager[UserApi]]


@asynccontextmanager
async def running_api(
    database: Database,
    sessions: SessionsOf,
    folder: Path,
    *,
    redis_url: str,
    clock: Clock = utc_now,
    **changes: Any,
) -> AsyncIterator[UserApi]:
    """The user service; it verifies tokens by the keys that it publishes itself."""
    settings = UserSettings(
        port=0,
        database_url=database.url("user"),
        jwks_url=JWKS_URL,
        public_url=PUBLIC_URL,
        signing_keys=folder,
        redis_url=redis_url,
        **changes,
    )
    app = build_app(settings, clock=clock)
    async with app.router.lifespan_context(app), UserApi(app, sessions("admin")) as client:
        app.state.token_verifier = TokenVerifier(JWKS_URL, settings.token_issuer, client)
        yield client


@pytest.fixture
def open_api(
    database: Database, sessions: SessionsOf, tmp_path: Path, redis: Redis, redis_url: str
) -> OpenApi:
    """`open_api(clock=..., logins_per_address=2)`: a service with settings of its own."""
    make_signing_key(tmp_path, utc_now())
    return partial(running_api, database, sessions, tmp_path, redis_url=redis_url)


@pytest.fixture
async def api(open_api: OpenApi) -> AsyncIterator[UserApi]:
    """The user service with its defaults."""
    async with open_api() as client:
        yield client
