from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from libs.testkit.postgres import Database
from libs.testkit.tokens import TokenIssuer
from services.model.app import build_app
from services.model.settings import ModelSettings
from tests.services.callers import Caller, new_caller

REDIS = "redis://127.0.0.1:1/0"  # away: nothing is counted


@pytest.fixture
async def app(database: Database, issuer: TokenIssuer) -> AsyncIterator[FastAPI]:
    """The model service on real PostgreSQL."""
    app = build_app(
        ModelSettings(
            port=0,
            database_url=database.url("model"),
            jwks_url="http://issuer",
            redis_url=REDIS,
        )
    )
    app.state.token_verifier = issuer.verifier()
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
        yield client


@pytest.fixture
def ada(api: httpx.AsyncClient, issuer: TokenIssuer) -> Caller:
    return new_caller(api, issuer)


@pytest.fixture
def eve(api: httpx.AsyncClient, issuer: TokenIssuer) -> Caller:
    """Somebody else."""
    return new_caller(api, issuer)
