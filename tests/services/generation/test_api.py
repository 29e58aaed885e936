"""The generation API on real PostgreSQL and Redis: admission, limits, tenancy, events."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import Engine, event, text

from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from libs.db.single_statements import SingleStatements
from libs.db.transaction import transaction
from libs.events.streams import publish_event
from libs.events.topics import Event
from libs.testkit.postgres import Database
from libs.testkit.tokens import TokenIssuer
from tests.services.callers import Caller, new_caller
from tests.services.generation.queue_of_jobs import give_credits

SessionsOf = Callable[[str], Sessions]
REQUEST = {"model": "demo", "prompt": "a red apple", "seed": 7}
PATH = "/api/v1/generations"


async def count(sessions: SessionsOf, table: str) -> int:
    async with sessions("admin")() as session:
        return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def test_a_quote_spends_nothing(ada: Caller, sessions: SessionsOf) -> None:
    answer = await ada.post(f"{PATH}/quote", {**REQUEST, "num_images": 3})
    quote = answer.json()
    assert (quote["price_millicredits"], quote["credits"]) == (3_000, "3")
    assert (quote["available_millicredits"], quote["affordable"]) == (500_000, True)
    assert quote["wait"] == {
        "position": 1,
        "jobs_ahead": 0,
        "p50_seconds": 0.0,
        "p90_seconds": 0.0,
        "finish_p50_seconds": 3.0,
        "finish_p90_seconds": 3.0,
    }
    assert await count(sessions, "credits.holds") == 0


async def test_job_hold_and_messages_commit_together(ada: Caller, sessions: SessionsOf) -> None:
    answer = await ada.post(PATH, REQUEST)
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{PATH}/{job['id']}"
    assert (job["status"], job["quoted_millicredits"]) == ("queued", 1_000)
    assert job["request"]["steps"] == 20 and job["request"]["width"] == 64
    assert await count(sessions, "credits.holds") == 1
    assert await count(sessions, "ops.outbox") == 2
    assert (await ada.get(answer.headers["location"])).json() == job


class CountingStatements(SingleStatements):
    """Notes each round trip."""

    count = 0

    async def fetch_row(self, statement: str, *values: Any) -> asyncpg.Record:
        self.count += 1
        return await super().fetch_row(statement, *values)


async def test_job_creation_is_one_round_trip(
    api: httpx.AsyncClient, ada: Caller, database: Database
) -> None:
    await ada.post(PATH, REQUEST)  # what is read once a while is read
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    transport = api._transport
    assert isinstance(transport, httpx.ASGITransport)
    counting = CountingStatements(database.url("generation"), application="test")
    transport.app.state.statements = counting  # type: ignore[attr-defined]
    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert (await ada.post(PATH, REQUEST)).status_code == 202
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        await counting.close()
    assert (counting.count, statements) == (1, [])


async def test_a_seed_is_chosen_and_recorded(ada: Caller) -> None:
    jobs = [(await ada.post(PATH, {**REQUEST, "seed": None})).json() for _ in range(2)]
    seeds = {job["request"]["seed"] for job in jobs}
    assert len(seeds) == 2 and all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 63),
        ("width", 2049),
        ("width", 264),
        ("height", 100),
        ("steps", 0),
        ("steps", 151),
        ("guidance", 0.5),
        ("guidance", 20.5),
        ("num_images", 9),
        ("prompt", "x" * 2001),
        ("prompt", ""),
        ("prompt", "nul\x00"),
        ("negative_prompt", "x" * 2001),
        ("seed", 2**32),
        ("seed", -1),
        ("scheduler", "magic"),
        ("format", "gif"),
        ("task", "video"),
        ("expires_in", 1),
        ("colour", "red"),
    ],
)
async def test_a_bad_field_is_named(
    ada: Caller, sessions: SessionsOf, field: str, value: object
) -> None:
    answer = await ada.post(PATH, {**REQUEST, field: value})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [f"body.{field}"]
    assert await count(sessions, "generation.jobs") == 0


@pytest.mark.parametrize("metadata", [{"a": "\x00"}, {"\x00": "a"}, {"x" * 65: "a"}, {"": "a"}])
async def test_labels_are_short_plain_text(ada: Caller, metadata: dict[str, str]) -> None:
    answer = await ada.post(PATH, {**REQUEST, "metadata": metadata})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("body.metadata")


async def test_a_filter_that_cannot_be_stored_is_refused(ada: Caller) -> None:
    assert (await ada.get(PATH, model="\x00")).status_code == 422


async def test_an_unknown_model_is_not_found(ada: Caller) -> None:
    for path in (PATH, f"{PATH}/quote"):
        answer = await ada.post(path, {**REQUEST, "model": "nothing"})
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/model-not-found")


async def test_without_a_token_nothing_is_answered(api: httpx.AsyncClient) -> None:
    for answer in (await api.get(PATH), await api.post(PATH, json=REQUEST)):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    forged = await api.get(PATH, headers={"Authorization": "Bearer a.b.c"})
    assert forged.status_code == 401


async def test_other_peoples_jobs_do_not_exist(
    ada: Caller, api: httpx.AsyncClient, issuer: TokenIssuer
) -> None:
    job = (await ada.post(PATH, REQUEST)).json()
    eve = new_caller(api, issuer)
    for answer in (
        await eve.get(f"{PATH}/{job['id']}"),
        await eve.post(f"{PATH}/{job['id']}/cancel"),
        await eve.get(f"{PATH}/{job['id']}/events"),
    ):
        assert answer.status_code == 404
    assert (await eve.get(PATH)).json()["items"] == []


async def test_short_of_credits(api: httpx.AsyncClient, issuer: TokenIssuer) -> None:
    answer = await new_caller(api, issuer).post(PATH, REQUEST)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (402, "/problems/insufficient-credits")
    assert (problem["needed_millicredits"], problem["available_millicredits"]) == (1_000, 0)


async def test_the_hourly_limit_holds_under_concurrency(ada: Caller, sessions: SessionsOf) -> None:
    answers = await asyncio.gather(*(ada.post(PATH, REQUEST) for _ in range(14)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [202] * 10 + [429] * 4
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert await count(sessions, "generation.jobs") == 10


async def test_of_64_requests_at_once_those_that_the_balance_covers_are_accepted(
    api: httpx.AsyncClient, issuer: TokenIssuer, sessions: SessionsOf
) -> None:
    pro = new_caller(api, issuer)  # 100 jobs may wait, 300 may be created in an hour
    await give_credits(sessions("billing"), pro.id, 10_000)
    async with transaction(sessions("billing"), pro.id) as session:
        tier = text("INSERT INTO ops.entitlements (user_id, tier) VALUES (:user, 'pro')")
        await session.execute(tier, {"user": pro.id})
    answers = await asyncio.gather(*(pro.post(PATH, REQUEST) for _ in range(64)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [202] * 10 + [402] * 54
    assert await count(sessions, "generation.jobs") == 10
    assert await count(sessions, "credits.holds") == 10
    async with sessions("admin")() as session:
        assert await ledger_check(session) == []


async def test_an_idempotency_key_accepts_one_job(ada: Caller, sessions: SessionsOf) -> None:
    key = {"Idempotency-Key": "order-1"}
    first, second = await ada.post(PATH, REQUEST, **key), await ada.post(PATH, REQUEST, **key)
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert await count(sessions, "generation.jobs") == 1
    other = await ada.post(PATH, {**REQUEST, "seed": 8}, **key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")


async def test_cancelling_a_waiting_job_gives_everything_back(
    ada: Caller, sessions: SessionsOf
) -> None:
    job = (await ada.post(PATH, REQUEST)).json()
    for _ in range(2):
        cancelled = (await ada.post(f"{PATH}/{job['id']}/cancel")).json()
        assert (cancelled["status"], cancelled["captured_millicredits"]) == ("cancelled", 0)
    quote = (await ada.post(f"{PATH}/quote", REQUEST)).json()
    assert quote["available_millicredits"] == 500_000
    async with sessions("admin")() as session:
        assert await ledger_check(session) == []


async def test_pages_follow_each_other_newest_first(ada: Caller) -> None:
    made = [(await ada.post(PATH, REQUEST)).json()["id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await ada.get(PATH, **query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == made[::-1]
    assert (await ada.get(PATH, cursor="nonsense!")).json()["errors"][0]["field"] == "query.cursor"
    assert (await ada.get(PATH, status="succeeded")).json()["items"] == []


def parse_events(body: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [
        dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        for block in body.strip().split("\n\n")
    ]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


async def test_events_start_with_a_snapshot_and_resume_without_a_gap(
    ada: Caller, redis: Redis
) -> None:
    job_id = UUID((await ada.post(PATH, REQUEST)).json()["id"])

    def event(topic: Any, **data: Any) -> Event:
        return Event(topic=topic, user_id=ada.id, job_id=job_id, data=data)

    await publish_event(redis, event("job.started"))
    await publish_event(redis, event("job.progressed", step=1, steps=20))
    await publish_event(redis, event("job.finished", status="cancelled"))
    await ada.post(f"{PATH}/{job_id}/cancel")  # a stream ends when the database says so, too
    whole = (await ada.get(f"{PATH}/{job_id}/events")).text
    names = [name for name, _ in parse_events(whole)]
    assert names == ["snapshot", "started", "progress", "finished"]
    first_id = next(line[4:] for line in whole.split("\n") if line.startswith("id: "))
    headers = {**ada.headers, "Last-Event-ID": first_id}
    rest = (await ada.api.get(f"{PATH}/{job_id}/events", headers=headers)).text
    assert [name for name, _ in parse_events(rest)] == ["progress", "finished"]
    bad = await ada.api.get(
        f"{PATH}/{job_id}/events", headers={**ada.headers, "Last-Event-ID": "x"}
    )
    assert bad.status_code == 422


async def test_a_lost_stream_still_ends_in_the_true_state(ada: Caller, redis: Redis) -> None:
    job = (await ada.post(PATH, REQUEST)).json()
    await ada.post(f"{PATH}/{job['id']}/cancel")
    await redis.flushall()
    events = parse_events((await ada.get(f"{PATH}/{job['id']}/events")).text)
    assert [name for name, _ in events] == ["snapshot", "finished"]
    assert events[-1][1]["status"] == "cancelled"
