from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from libs.auth.keys import TokenVerifier
from libs.auth.signing_keys import make_signing_key
from libs.testkit.postgres import Database
from services.user.app import build_app
from services.user.settings import UserSettings

JWKS_URL = "http://user/api/v1/auth/.well-known/jwks.json"


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The user service; it verifies tokens by the keys that it publishes itself."""
    make_signing_key(tmp_path, datetime.now(UTC))
    settings = UserSettings(
        port=0,
        database_url=database.url("user"),
        jwks_url=JWKS_URL,
        redis_url="redis://127.0.0.1:1/0",
        signing_keys=tmp_path,
    )
    app = build_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://user") as client,
    ):
        app.state.token_verifier = TokenVerifier(JWKS_URL, settings.token_issuer, client)
        yield client
