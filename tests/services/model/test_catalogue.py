"""The door of the model service, with a line to it that can be cut."""

from collections.abc import AsyncIterator, Callable
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.kernel.problems import ServiceUnavailable
from services.model.client.catalogue import ModelCatalogue
from tests.services.model.shelf import add_model

SessionsOf = Callable[[str], Sessions]


class Line(httpx.AsyncBaseTransport):
    """Reaches an application, counts what passes, and can be cut."""

    def __init__(self, app: FastAPI) -> None:
        self.to_app = httpx.ASGITransport(app)
        self.cut, self.passed = False, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.cut:
            raise httpx.ConnectError("cut", request=request)
        self.passed += 1
        return await self.to_app.handle_async_request(request)


@pytest.fixture
def line(app: FastAPI) -> Line:
    return Line(app)


@pytest.fixture
async def http(line: Line) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=line) as client:
        yield client


async def test_a_model_is_found_by_slug_and_id_and_remembered(
    http: httpx.AsyncClient, line: Line
) -> None:
    catalogue = ModelCatalogue("http://model/", http)
    demo = await catalogue.find("demo")
    assert demo is not None and (demo.slug, demo.default_steps) == ("demo", 20)
    assert await catalogue.find("demo") == demo
    assert line.passed == 1
    assert await catalogue.find(str(demo.id)) == demo
    assert line.passed == 2


async def test_a_model_that_appears_is_found_and_one_that_goes_is_forgotten(
    http: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    catalogue, admin = ModelCatalogue("http://model", http, lifetime_seconds=0), sessions("admin")
    assert await catalogue.find("photo") is None
    model_id = await add_model(admin, "photo", base="sd15")
    found = await catalogue.find("photo")
    assert found is not None and found.id == model_id
    async with admin.begin() as session:
        await session.execute(text("DELETE FROM models.models WHERE slug = 'photo'"))
    assert await catalogue.find("photo") is None


async def test_a_stale_model_is_used_while_the_service_is_away(
    http: httpx.AsyncClient, line: Line
) -> None:
    catalogue = ModelCatalogue("http://model", http, lifetime_seconds=0)
    demo = await catalogue.find("demo")
    line.cut = True
    assert await catalogue.find("demo") == demo
    with pytest.raises(ServiceUnavailable) as refused:
        await catalogue.find("never-seen")
    assert refused.value.headers == {"Retry-After": "5"}
    line.cut = False
    assert await catalogue.find("never-seen") is None


@pytest.mark.parametrize("name", ["", "../healthz", "a/b", "a b", "x" * 64, "demo?", "demo\n"])
async def test_what_cannot_be_a_name_is_not_asked_for(
    http: httpx.AsyncClient, line: Line, name: str
) -> None:
    assert await ModelCatalogue("http://model", http).find(name) is None
    assert line.passed == 0


async def test_the_id_of_the_demo_model_never_changes(http: httpx.AsyncClient) -> None:
    demo = await ModelCatalogue("http://model", http).find("demo")
    assert demo is not None and demo.id == UUID("01938f00-0000-7000-8000-000000000001")
