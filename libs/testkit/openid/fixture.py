"""The OpenID provider for tests: a real HTTP server on a free loopback port, one a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dev.parts.program import free_port
from libs.testkit.oauth.browser import ProviderClient, serving
from libs.testkit.oauth.grants import Client
from libs.testkit.openid.keys import Algorithm
from libs.testkit.openid.server import Settings, create_app

GOOGLE = Client(
    "easel-tests.apps.googleusercontent.com",
    "GOCSPX-tests",
    "https://easel.example/api/v1/auth/oauth/google/callback",
)


class OpenIdClient(ProviderClient):
    """What tests do with the provider. `issuer` is what applications are configured with."""

    @property
    def issuer(self) -> str:
        return self.base_url

    async def rotate(self, *, keep: bool = True) -> None:
        """Sign with a fresh key; the one before is published on if `keep`."""
        (await self.http.post("/_double/rotate", params={"keep": keep})).raise_for_status()


@asynccontextmanager
async def running_openid(
    client: Client = GOOGLE, algorithm: Algorithm = "RS256"
) -> AsyncIterator[OpenIdClient]:
    """A provider and its client."""
    settings = Settings(free_port(), client, algorithm)
    with serving(create_app(settings), settings.port):
        tester = OpenIdClient(settings.issuer, client)
        async with tester.http:
            yield tester


@pytest.fixture
async def openid() -> AsyncIterator[OpenIdClient]:
    """A provider that signs as Google does."""
    async with running_openid() as tester:
        yield tester
