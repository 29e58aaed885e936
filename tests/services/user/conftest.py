from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from libs.auth.keys import TokenVerifier
from libs.testkit.postgres import Database
from services.user.app import build_app
from services.user.settings import UserSettings

JWKS_URL = "http://user/api/v1/auth/.well-known/jwks.json"


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The user service; it verifies tokens by the keys that it publishes itself."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    key_file = tmp_path / "signing.pem"
    key_file.write_bytes(pem)
    settings = UserSettings(
        port=0,
        database_url=database.url("user"),
        jwks_url=JWKS_URL,
        signing_key_file=key_file,
    )
    app = build_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://user") as client,
    ):
        app.state.token_verifier = TokenVerifier(JWKS_URL, settings.token_issuer, client)
        yield client
