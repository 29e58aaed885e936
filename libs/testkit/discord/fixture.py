"""The Discord double for tests: a real HTTP server on a free loopback port, one a test."""

from collections.abc import AsyncIterator

import pytest

from dev.parts.program import LOOPBACK, free_port
from libs.testkit.discord.server import create_app
from libs.testkit.oauth.browser import ProviderClient, serving
from libs.testkit.oauth.grants import Client

DISCORD = Client(
    "157730590492196864",
    "discord-tests",
    "https://easel.example/api/v1/auth/oauth/discord/callback",
)


@pytest.fixture
async def discord() -> AsyncIterator[ProviderClient]:
    """A double and its client."""
    port = free_port()
    with serving(create_app(DISCORD), port):
        tester = ProviderClient(f"http://{LOOPBACK}:{port}", DISCORD)
        async with tester.http:
            yield tester
