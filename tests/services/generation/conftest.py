from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from libs.db.engine import Sessions
from libs.testkit.postgres import Database
from libs.testkit.tokens import TokenIssuer
from services.generation.app import build_app
from services.generation.settings import GenerationSettings
from services.model.app import build_app as build_model_app
from services.model.client.catalogue import ModelCatalogue
from services.model.settings import ModelSettings
from tests.services.callers import Caller, new_caller
from tests.services.generation.queue_of_jobs import Queue, give_credits
from tests.services.generation.webhook_shop import post, shop

__all__ = ["post", "shop"]

SessionsOf = Callable[[str], Sessions]


@pytest.fixture
def queue(sessions: SessionsOf) -> Queue:
    """An empty queue of record."""
    return Queue(*(sessions(role) for role in ("generation", "worker", "relay", "billing")))


@pytest.fixture
async def api(
    database: Database, redis_url: str, redis: Redis, issuer: TokenIssuer
) -> AsyncIterator[httpx.AsyncClient]:
    """The generation service beside a real model service."""
    shared: dict[str, Any] = {"port": 0, "jwks_url": "http://issuer", "redis_url": redis_url}
    models = build_model_app(ModelSettings(database_url=database.url("model"), **shared))
    app = build_app(
        GenerationSettings(
            database_url=database.url("generation"),
            model_service_url="http://model",
            **shared,
        )
    )
    app.state.token_verifier = issuer.verifier()
    model_http = httpx.AsyncClient(transport=httpx.ASGITransport(models))
    app.state.models = ModelCatalogue("http://model", model_http)
    async with (
        app.router.lifespan_context(app),
        models.router.lifespan_context(models),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client,
    ):
        yield client


@pytest.fixture
async def ada(api: httpx.AsyncClient, issuer: TokenIssuer, sessions: SessionsOf) -> Caller:
    """A customer of the free plan with 500 credits."""
    customer = new_caller(api, issuer)
    await give_credits(sessions("billing"), customer.id, 500_000)
    return customer
