"""A token issuer for tests: a fresh key, its JWKS on a real route, tokens for anybody."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from libs.auth.keys import TokenVerifier
from libs.auth.principals import Role
from libs.auth.tokens import issue_access_token, load_signing_key
from libs.tiers.catalogue import DEFAULT_TIER, TierName

ISSUER = "easel"
JWKS_URL = "http://issuer/jwks.json"


class TokenIssuer:
    """Issues access tokens and publishes the key that verifies them."""

    def __init__(self) -> None:
        key = generate_private_key(SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.key = load_signing_key(pem)
        self.app = Starlette(routes=[Route("/jwks.json", self.publish)])

    async def publish(self, _request: Request) -> JSONResponse:
        """The JWKS route."""
        return JSONResponse({"keys": [self.key.public_jwk()]})

    def headers(
        self, user_id: UUID, *, role: Role = "user", tier: TierName = DEFAULT_TIER
    ) -> dict[str, str]:
        """`Authorization` of a user who has just logged in."""
        token = issue_access_token(
            self.key,
            issuer=ISSUER,
            user_id=user_id,
            session_id=uuid4(),
            role=role,
            tier=tier,
            now=datetime.now(UTC),
        )
        return {"Authorization": f"Bearer {token}"}

    def verifier(self) -> TokenVerifier:
        """What a service's application verifies tokens with."""
        http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app))
        return TokenVerifier(JWKS_URL, ISSUER, http)


@pytest.fixture
def issuer() -> TokenIssuer:
    """An issuer whose tokens only its own verifier accepts."""
    return TokenIssuer()
