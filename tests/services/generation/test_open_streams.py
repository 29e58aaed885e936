"""Streams of events over HTTP: who may hold them, for how long, and how they go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from redis.asyncio import Redis

from libs.auth.ended_logins import end_logins
from libs.db.transaction import transaction
from libs.events.streams import publish_event
from libs.events.topics import Event
from libs.kernel.clock import utc_now
from libs.web.event_streams import MAX_STREAMS_OF_USER
from tests.services.callers import Caller, named_fields, problem_of
from tests.services.generation.conftest import SessionsOf
from tests.services.generation.open_stream import Reader, reading, serving

PATH = "/api/v1/generations"
ALL = f"{PATH}/events"
REQUEST = {"model": "demo", "prompt": "a red apple", "seed": 7}


@pytest.fixture
async def app(api: httpx.AsyncClient) -> Any:
    transport = api._transport
    assert isinstance(transport, httpx.ASGITransport)
    return transport.app


@pytest.fixture
async def http(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The service on a real port: the client of `api` reads no answer before its end."""
    async with serving(app, app.state.settings) as client:
        yield client


async def create(ada: Caller) -> UUID:
    return UUID((await ada.post(PATH, REQUEST)).json()["id"])


async def test_all_of_ones_jobs_are_told_and_resumed(
    http: httpx.AsyncClient, ada: Caller, redis: Redis
) -> None:
    waiting = await create(ada)
    async with reading(http, ALL, ada.headers) as reader:
        snapshot = await reader.next()
        assert snapshot is not None and snapshot.name == "snapshot"
        assert [job["id"] for job in snapshot.data["jobs"]] == [str(waiting)]
        assert reader.retry == "2000"
        for step in (1, 2):
            told = Event(
                topic="job.progressed", user_id=ada.id, job_id=waiting, data={"step": step}
            )
            await publish_event(redis, told)
        assert (await reader.until("progress"))[-1].data["step"] == 1
        last = reader.last_id
    async with reading(http, ALL, ada.headers, last) as reader:
        assert (await reader.until("progress"))[0].data["step"] == 2


async def test_a_reader_who_was_told_the_end_is_told_not_to_come_back(
    http: httpx.AsyncClient, ada: Caller, redis: Redis
) -> None:
    job = await create(ada)
    await ada.post(f"{PATH}/{job}/cancel")
    end = Event(topic="job.finished", user_id=ada.id, job_id=job, data={"status": "cancelled"})
    await publish_event(redis, end)
    async with reading(http, f"{PATH}/{job}/events", ada.headers) as reader:
        await reader.until("finished")
        assert await reader.next() is None
    again = await http.get(
        f"{PATH}/{job}/events", headers={**ada.headers, "Last-Event-ID": str(reader.last_id)}
    )
    assert (again.status_code, again.content) == (204, b"")


@pytest.mark.parametrize("given", ["x", "1", "1-", "-1-0", "1-0-0", "9" * 20 + "-0"])
async def test_an_id_that_no_stream_gave_out_is_refused(ada: Caller, given: str) -> None:
    answer = await ada.api.get(ALL, headers={**ada.headers, "Last-Event-ID": given})
    assert named_fields(answer) == ["header.Last-Event-ID"]


async def test_streams_beyond_the_users_few_are_refused_until_one_is_closed(
    http: httpx.AsyncClient, app: Any, ada: Caller
) -> None:
    places = app.state.open_streams
    async with AsyncExitStack() as opened:
        readers = []
        for _ in range(MAX_STREAMS_OF_USER):
            readers.append(await opened.enter_async_context(reading(http, ALL, ada.headers)))
            await readers[-1].next()
        refused = await http.get(ALL, headers=ada.headers)
        assert problem_of(refused) == (429, "too-many-streams")
        assert refused.json()["limit"] == MAX_STREAMS_OF_USER and "retry-after" in refused.headers
    async with asyncio.timeout(10):
        while places.by_user:  # noqa: ASYNC110 - the server learns of it when it does
            await asyncio.sleep(0.05)


async def read_to_the_end(reader: Reader) -> str:
    """What the stream says of its end."""
    last = (await reader.until("closed"))[-1]
    assert await reader.next() is None
    return str(last.data["reason"])


async def test_streams_end_with_the_login(
    http: httpx.AsyncClient, ada: Caller, sessions: SessionsOf
) -> None:
    token = ada.headers["Authorization"].removeprefix("Bearer ")
    login = UUID(jwt.decode(token, options={"verify_signature": False})["sid"])
    job = await create(ada)
    async with (
        reading(http, ALL, ada.headers) as all_jobs,
        reading(http, f"{PATH}/{job}/events", ada.headers) as one_job,
    ):
        await all_jobs.next()
        async with transaction(sessions("user"), ada.id) as session:
            await end_logins(session, [login], now=utc_now())
        ends = await asyncio.gather(read_to_the_end(all_jobs), read_to_the_end(one_job))
    assert list(ends) == ["unauthorized", "unauthorized"]
