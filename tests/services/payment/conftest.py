from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from libs.testkit.lemon_squeezy.client import DoubleClient
from libs.testkit.postgres import Database
from libs.testkit.tokens import TokenIssuer
from services.payment.app import build_app
from tests.services.callers import Caller, new_caller
from tests.services.payment.shop import payment_settings
from tests.services.payment.storefront import Storefront, open_storefront


@pytest.fixture
async def api(database: Database, issuer: TokenIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """The payment service on real PostgreSQL."""
    app = build_app(
        payment_settings(
            database_url=database.url("payment"),
            billing_database_url=database.url("billing"),
        )
    )
    app.state.token_verifier = issuer.verifier()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pay") as client,
    ):
        yield client


@pytest.fixture
def ada(api: httpx.AsyncClient, issuer: TokenIssuer) -> Caller:
    return new_caller(api, issuer)


@pytest.fixture
def eve(api: httpx.AsyncClient, issuer: TokenIssuer) -> Caller:
    """Somebody else."""
    return new_caller(api, issuer)


@pytest.fixture
async def shop(
    database: Database, lemon_squeezy: DoubleClient, tmp_path: Path, redis: Redis, redis_url: str
) -> AsyncIterator[Storefront]:
    """The payment service beside the user service and the provider's double."""
    async with open_storefront(database, lemon_squeezy, tmp_path, redis_url) as storefront:
        yield storefront
