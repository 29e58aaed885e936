"""The shared application: problems, request ids, limits, health and metrics over ASGI."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field

from libs.kernel.problems import NotFound, RateLimited
from libs.telemetry.logs import configure_logs
from libs.telemetry.tracing import configure_tracing, current_traceparent
from libs.web.application import build_application
from libs.web.request_limits import MAX_BODY_BYTES

router = APIRouter()


class Drawing(BaseModel):
    steps: int = Field(ge=1, le=150)


@router.post("/drawings")
async def draw(body: Drawing) -> Drawing:
    return body


@router.get("/missing")
async def missing() -> None:
    raise NotFound("no such drawing")


@router.get("/limited")
async def limited() -> None:
    raise RateLimited("slow down", retry_after_seconds=7, limit=3)


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError("postgresql://user:secret@host")


@router.get("/trace")
async def trace() -> str | None:
    return current_traceparent()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


async def fine() -> None:
    return None


async def away() -> None:
    raise ConnectionRefusedError("host and port")


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = build_application(
        "test", description="", routers=[router], checks={"a": fine, "b": away}, lifespan=lifespan
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_bad_field_is_named_with_its_range(http: httpx.AsyncClient) -> None:
    answer = await http.post("/drawings", json={"steps": 0})
    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "/problems/validation-failed"
    assert problem["errors"] == [
        {"field": "body.steps", "message": "Input should be greater than or equal to 1"}
    ]


async def test_problems_carry_detail_extras_and_headers(http: httpx.AsyncClient) -> None:
    answer = await http.get("/limited")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert (answer.json()["detail"], answer.json()["limit"]) == ("slow down", 3)
    assert (await http.get("/missing")).json()["detail"] == "no such drawing"


@pytest.mark.parametrize(
    ("method", "path", "slug"),
    [
        ("GET", "/nowhere", "not-found"),
        ("DELETE", "/drawings", "method-not-allowed"),
    ],
)
async def test_the_frameworks_errors_are_problems_too(
    http: httpx.AsyncClient, method: str, path: str, slug: str
) -> None:
    answer = await http.request(method, path)
    assert answer.json()["type"] == f"/problems/{slug}"


async def test_an_unexpected_failure_says_nothing_of_itself(http: httpx.AsyncClient) -> None:
    answer = await http.get("/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text


async def test_an_unexpected_failure_is_found_by_its_request_id(
    http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("test")
    answer = await http.get("/broken", headers={"X-Request-Id": "gateway-12345678"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "gateway-12345678"
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failed = [line["request_id"] for line in lines if line["event"] == "request_failed"]
    assert failed == ["gateway-12345678"]


async def test_request_ids_are_taken_or_made(http: httpx.AsyncClient) -> None:
    given = await http.get("/missing", headers={"X-Request-Id": "gateway-12345678"})
    assert given.headers["x-request-id"] == given.json()["request_id"] == "gateway-12345678"
    forged = await http.get("/missing", headers={"X-Request-Id": "a b\tc"})
    assert len(forged.headers["x-request-id"]) == 32


async def test_large_bodies_are_refused_declared_or_streamed(http: httpx.AsyncClient) -> None:
    declared = await http.post("/drawings", content=b" " * (MAX_BODY_BYTES + 1))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 100_000 + 2):
            yield b" " * 100_000

    streamed = await http.post(
        "/drawings", content=chunks(), headers={"Content-Type": "application/json"}
    )
    assert (declared.status_code, streamed.status_code) == (413, 413)


async def test_alive_and_ready_are_two_things(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).status_code == 200
    ready = await http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"] == {"a": "ok", "b": "ConnectionRefusedError"}
    assert "host and port" not in ready.text


async def test_requests_are_counted_by_route(http: httpx.AsyncClient) -> None:
    await http.get("/missing")
    metrics = (await http.get("/metrics")).text
    assert 'route="/missing",service="test",status="404"' in metrics


async def test_a_request_continues_its_callers_trace(http: httpx.AsyncClient) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    configure_tracing("test")
    answer = await http.get("/trace", headers=headers)
    assert answer.json().split("-")[1] == trace_id
