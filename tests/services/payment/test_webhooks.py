"""The webhook route: what is kept, what is refused, and that each is counted."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from sqlalchemy import event as sqlalchemy_event

from libs.db.engine import Sessions
from libs.testkit.lemon_squeezy.books import sign
from libs.testkit.postgres import Database
from libs.web.request_limits import MAX_BODY_BYTES
from services.payment.app import build_app
from tests.services.callers import problem_of
from tests.services.payment.shop import payment_settings
from tests.services.payment.till import SMALL_PACK, Till, open_till

PATH = "/api/v1/payments/webhooks/lemon-squeezy"
SECRET = payment_settings().lemon_squeezy_webhook_secret
EVENT = b'{"meta": {"event_name": "order_created"}, "data": {"type": "orders", "id": "1"}}'


@pytest.fixture
async def till(sessions: Callable[[str], Sessions]) -> Till:
    return await open_till(sessions)


async def send(api: httpx.AsyncClient, body: bytes, signature: str | None = None) -> httpx.Response:
    """As the provider sends: signed, unless another signature is given."""
    headers = {"X-Signature": sign(SECRET, body) if signature is None else signature}
    return await api.post(PATH, content=body, headers=headers)


@contextmanager
def counted(outcome: str, times: int = 1) -> Iterator[None]:
    """The block adds so much to one outcome and nothing to any other."""

    def totals() -> dict[str, float]:
        samples = [s for m in REGISTRY.collect() if m.name == "easel_webhooks" for s in m.samples]
        return {s.labels["outcome"]: s.value for s in samples if s.name.endswith("_total")}

    before = totals()
    yield
    assert {name: n - before[name] for name, n in totals().items() if n != before[name]} == {
        outcome: times
    }


async def test_a_signed_event_is_kept_byte_for_byte(api: httpx.AsyncClient, till: Till) -> None:
    till.buy(SMALL_PACK)
    (event,) = till.told()
    with counted("stored"):
        answer = await api.post(PATH, content=event.body, headers=event.headers(SECRET))
    assert (answer.status_code, answer.json()) == (200, {"outcome": "stored"})
    kept = "SELECT event_name, body, state, attempts FROM billing.inbox"
    assert await till.rows(kept) == [("order_created", event.body, "pending", 0)]


async def test_the_same_content_is_kept_once(api: httpx.AsyncClient, till: Till) -> None:
    await send(api, EVENT)
    with counted("known", 2):
        answers = [await send(api, EVENT) for _ in range(2)]
    assert [(a.status_code, a.json()["outcome"]) for a in answers] == [(200, "known")] * 2
    assert len(await till.inbox()) == 1


@pytest.mark.parametrize(
    "signature", ["", "0" * 64, sign("another secret", EVENT), sign(SECRET, EVENT)[:-1], "ä" * 64]
)
async def test_a_forged_event_is_refused(
    api: httpx.AsyncClient, till: Till, signature: str
) -> None:
    with counted("forged"):
        answer = await api.post(
            PATH, content=EVENT, headers={b"X-Signature": signature.encode("latin-1")}
        )
    assert problem_of(answer) == (401, "invalid-signature")
    assert await till.inbox() == []


async def test_an_event_without_a_signature_is_refused(api: httpx.AsyncClient) -> None:
    with counted("forged"):
        assert (await api.post(PATH, content=EVENT)).status_code == 401


async def test_a_truncated_event_is_refused(api: httpx.AsyncClient, till: Till) -> None:
    with counted("forged"):
        answer = await send(api, EVENT[:-1], sign(SECRET, EVENT))
    assert answer.status_code == 401
    with counted("unreadable"):
        answer = await send(api, EVENT[:-1])
    assert problem_of(answer) == (400, "bad-request")
    assert await till.inbox() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"meta": {}, "data": {"type": "orders", "id": "1"}}',
        b'{"meta": {"event_name": "order_created"}}',
        b'{"meta": {"event_name": "order\\u0000"}, "data": {"type": "orders", "id": "1"}}',
        b'{"meta": {"event_name": "order_created"}, "data": {"type": "orders", "id": "1\\u0000"}}',
        b'{"meta": {"event_name": "order_created"}, "data": {"type": "orders", "id": null}}',
        b"[" * 100_000,
    ],
)
async def test_what_is_no_event_is_refused(api: httpx.AsyncClient, till: Till, body: bytes) -> None:
    with counted("unreadable"):
        answer = await send(api, body)
    assert problem_of(answer) == (400, "bad-request")
    assert await till.inbox() == []


async def endless() -> AsyncIterator[bytes]:
    """A body that does not say how long it is."""
    for _ in range(MAX_BODY_BYTES // 100_000 + 1):
        yield b" " * 100_000


@pytest.mark.parametrize("declared", [True, False])
async def test_an_oversized_event_is_refused(
    api: httpx.AsyncClient, till: Till, declared: bool
) -> None:
    body = b" " * (MAX_BODY_BYTES + 1) if declared else endless()
    with counted("oversized"):
        answer = await api.post(PATH, content=body, headers={"X-Signature": "0"})
    assert problem_of(answer) == (413, "payload-too-large")
    assert await till.inbox() == []


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://pay") as client,
    ):
        yield client


async def test_an_event_is_acknowledged_by_one_statement_in_one_transaction(
    database: Database,
) -> None:
    app = build_app(payment_settings(billing_database_url=database.url("billing")))
    engine = app.state.billing_sessions.kw["bind"].sync_engine
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement.split()[0])

    async with serving(app) as api:
        await send(api, EVENT)  # the first one connects
        sqlalchemy_event.listen(engine, "before_cursor_execute", note)
        sqlalchemy_event.listen(engine, "commit", lambda _: statements.append("COMMIT"))
        await send(api, EVENT.replace(b'"1"', b'"2"'))
    assert statements == ["INSERT", "COMMIT"]


async def test_without_the_database_the_provider_is_told_to_come_again() -> None:
    async with serving(build_app(payment_settings())) as api:
        with counted("failed"):
            answer = await send(api, EVENT)
    assert problem_of(answer) == (503, "service-unavailable")
