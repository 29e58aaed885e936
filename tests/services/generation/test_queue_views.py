"""The queue as users and administrators see it; refusals of overload; a job queued again."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.testkit.tokens import TokenIssuer
from services.generation.attempts import ENGINE_FAILED
from services.generation.repository import workers
from services.generation.service.endings import finish_job
from services.generation.service.outlook_round import Outlooker
from tests.services.callers import Caller, new_caller, problem_of, walk
from tests.services.generation.queue_of_jobs import Queue, give_credits

SessionsOf = Callable[[str], Sessions]
REQUEST = {"model": "demo", "prompt": "a red apple", "seed": 7}
PATH = "/api/v1/generations"
ADD_ADMIN = text(
    "INSERT INTO identity.users (id, email, display_name, password_hash, created_at, role)"
    " VALUES (:id, :email, 'Root', '-', now(), :role)"
)
SET_TIER = text("INSERT INTO ops.entitlements (user_id, tier) VALUES (:user, :tier)")


@pytest.fixture
async def root(api: httpx.AsyncClient, issuer: TokenIssuer, sessions: SessionsOf) -> Caller:
    """An administrator."""
    return await add_admin(api, issuer, sessions)


async def add_admin(
    api: httpx.AsyncClient, issuer: TokenIssuer, sessions: SessionsOf, role: str = "admin"
) -> Caller:
    user_id = uuid4()
    async with sessions("admin").begin() as session:
        values = {"id": user_id, "email": f"{user_id}@example.com", "role": role}
        await session.execute(ADD_ADMIN, values)
    return Caller(api, issuer.headers(user_id, role="admin"), user_id)


async def look(queue: Queue, api: httpx.AsyncClient) -> None:
    """What the relay does each second, and the API after a second."""
    await Outlooker(queue.relay, utc_now).look()
    transport = api._transport
    assert isinstance(transport, httpx.ASGITransport)
    transport.app.state.waits.refresh_seconds = 0.0  # type: ignore[attr-defined]


async def serve(queue: Queue, slots: int) -> None:
    async with queue.workers.begin() as session:
        await workers.say_present(
            session, "gpu-1", pools=["standard"], slots=slots, models=["demo"]
        )


async def flood(queue: Queue, users: int, price: int) -> None:
    """One slot, which is busy, and so many users of the free tier with a job each."""
    await serve(queue, 1)
    for _ in range(users):
        await queue.enter(uuid4(), price=price)
    assert await queue.claim() is not None


async def fail(queue: Queue, user_id: UUID) -> UUID:
    """A job that failed for good."""
    job_id = await queue.enter(user_id)
    job = await queue.claim()
    assert job is not None and job.id == job_id
    async with transaction(queue.workers, user_id) as session:
        await finish_job(session, job, "failed", error=ENGINE_FAILED)
    return job_id


async def test_a_user_sees_the_places_of_the_own_jobs_and_everybodys_waits(
    api: httpx.AsyncClient, queue: Queue, ada: Caller
) -> None:
    await flood(queue, 5, 1_000)
    await look(queue, api)
    accepted = (await ada.post(PATH, REQUEST)).json()
    # half a job of a second, and four whole ones
    assert accepted["estimate"]["position"] == 5
    assert accepted["estimate"]["p50_seconds"] == pytest.approx(4.5, abs=0.2)
    await look(queue, api)
    seen = (await ada.get("/api/v1/queue")).json()
    assert (seen["tier"], seen["waiting"], seen["waiting_allowed"]) == ("free", 1, 10)
    assert [job["generation_id"] for job in seen["jobs"]] == [accepted["id"]]
    assert seen["jobs"][0]["position"] == 5
    shown = (await ada.get(f"{PATH}/{accepted['id']}")).json()
    assert shown["estimate"]["p50_seconds"] == pytest.approx(4.5, abs=0.2)
    waits = {tier["tier"]: tier for tier in seen["tiers"]}
    assert waits["free"]["p50_seconds"] > waits["pro"]["p50_seconds"]
    assert waits["studio"]["p50_seconds"] == 0 and waits["free"]["target_seconds"] == 1_800
    pools = {pool["pool"]: pool for pool in seen["pools"]}
    assert (pools["standard"]["waiting"], pools["standard"]["running"]) == (5, 1)
    assert pools["standard"]["capacity"] == 1


async def test_a_quote_knows_the_callers_own_jobs(
    api: httpx.AsyncClient, queue: Queue, ada: Caller
) -> None:
    await flood(queue, 3, 10_000)
    for _ in range(2):
        await ada.post(PATH, REQUEST)
    await look(queue, api)
    wait = (await ada.post(f"{PATH}/quote", REQUEST)).json()["wait"]
    assert wait["position"] > 4 and wait["p50_seconds"] == pytest.approx(27, abs=3)


async def test_who_would_start_too_late_is_refused_and_told_when_to_come_back(
    api: httpx.AsyncClient, queue: Queue, ada: Caller, sessions: SessionsOf
) -> None:
    await flood(queue, 2, 2_000_000)
    await look(queue, api)
    refused = await ada.post(PATH, REQUEST)
    assert problem_of(refused) == (429, "queue-full")
    body = refused.json()
    # half of 2,000 seconds and 2,000 more; the free plan promises 1,800
    assert (body["limit"], body["tier"], body["allowed"]) == ("wait_seconds", "free", 1_800)
    assert body["used"] == body["expected_wait_seconds"] == pytest.approx(3_000, abs=2)
    assert body["retry_after_seconds"] == pytest.approx(3_000 - 0.8 * 1_800, abs=3)
    assert refused.headers["retry-after"] == str(body["retry_after_seconds"])
    async with sessions("admin")() as session:
        assert await session.scalar(text("SELECT count(*) FROM credits.holds")) == 2
        await session.execute(SET_TIER, {"user": ada.id, "tier": "studio"})
        await session.commit()
    assert (await ada.post(PATH, REQUEST)).status_code == 202  # the other pool has room


async def test_where_overload_is_accepted_the_true_wait_is_told(
    api: httpx.AsyncClient, queue: Queue, ada: Caller
) -> None:
    await flood(queue, 2, 2_000_000)
    await look(queue, api)
    transport = api._transport
    assert isinstance(transport, httpx.ASGITransport)
    transport.app.state.waits.overload = "accept"  # type: ignore[attr-defined]
    accepted = await ada.post(PATH, REQUEST)
    assert accepted.status_code == 202
    assert accepted.json()["estimate"]["p50_seconds"] == pytest.approx(3_000, abs=2)


async def test_one_flooder_locks_out_the_flooder_alone(
    api: httpx.AsyncClient, queue: Queue, ada: Caller
) -> None:
    flooder = uuid4()
    await serve(queue, 1)
    for _ in range(9):
        await queue.enter(flooder, price=1_000_000)
    assert await queue.claim() is not None
    await look(queue, api)
    assert (await ada.post(PATH, REQUEST)).status_code == 202


async def test_ones_own_jobs_lock_nobody_out_of_the_plans_waiting_places(
    api: httpx.AsyncClient, queue: Queue, ada: Caller, sessions: SessionsOf
) -> None:
    async with sessions("admin").begin() as session:
        await session.execute(SET_TIER, {"user": ada.id, "tier": "enterprise"})
    await give_credits(sessions("billing"), ada.id, 10_000_000)
    # eighty seconds of work for the one slot of a plan that promises thirty
    for _ in range(10):
        assert (await ada.post(PATH, {**REQUEST, "num_images": 8})).status_code == 202
        await look(queue, api)
    told = (await ada.post(f"{PATH}/quote", REQUEST)).json()["wait"]
    assert told["p50_seconds"] == pytest.approx(80, abs=1)


async def test_a_timeline_adds_up(api: httpx.AsyncClient, queue: Queue, ada: Caller) -> None:
    job = (await ada.post(PATH, REQUEST)).json()
    claimed = await queue.claim()
    assert claimed is not None
    await queue.finish(claimed)
    timeline = (await ada.get(f"{PATH}/{job['id']}/timeline")).json()
    assert [part["name"] for part in timeline["segments"]] == ["queued", "claimed"]
    assert timeline["total_microseconds"] == sum(p["microseconds"] for p in timeline["segments"])
    assert problem_of(await ada.get(f"{PATH}/{uuid4()}/timeline")) == (404, "generation-not-found")


async def test_an_administrator_sees_everything_and_others_nothing(
    api: httpx.AsyncClient, queue: Queue, ada: Caller, root: Caller
) -> None:
    failed = [await fail(queue, ada.id) for _ in range(3)]
    await flood(queue, 4, 10_000)
    await look(queue, api)
    assert problem_of(await ada.get("/api/v1/admin/queue")) == (403, "forbidden")
    seen: dict[str, Any] = (await root.get("/api/v1/admin/queue", limit=2)).json()
    free = next(tier for tier in seen["tiers"] if tier["tier"] == "free")
    assert (free["waiting"], free["running"], free["users"], free["noisy_users"]) == (3, 1, 3, 0)
    assert free["oldest_wait_seconds"] >= 0
    assert free["share"] == pytest.approx(2 / 5)  # twice one of five users
    assert [worker["name"] for worker in seen["workers"]] == ["gpu-1"]
    letters = seen["dead_letters"]
    assert [letter["id"] for letter in letters["items"]] == [str(id) for id in failed[:0:-1]]
    assert letters["items"][0]["error"]["slug"] == ENGINE_FAILED["slug"]
    rest = await root.get("/api/v1/admin/queue", limit=2, cursor=letters["next_cursor"])
    assert [letter["id"] for letter in rest.json()["dead_letters"]["items"]] == [str(failed[0])]


async def test_a_role_that_the_database_does_not_know_sees_no_job(
    api: httpx.AsyncClient,
    queue: Queue,
    ada: Caller,
    issuer: TokenIssuer,
    sessions: SessionsOf,
) -> None:
    failed = await fail(queue, ada.id)
    stale = await add_admin(api, issuer, sessions, role="user")  # the token still says admin
    assert (await stale.get("/api/v1/admin/queue")).json()["dead_letters"]["items"] == []
    answer = await stale.post(f"/api/v1/admin/jobs/{failed}/requeue")
    assert problem_of(answer) == (404, "generation-not-found")


async def test_a_failed_job_is_queued_again_for_new_credits_and_paid_once(
    queue: Queue, ada: Caller, root: Caller, sessions: SessionsOf
) -> None:
    job_id = await fail(queue, ada.id)
    path = f"/api/v1/admin/jobs/{job_id}/requeue"
    answer = await root.post(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    again = await root.post(path)
    assert problem_of(again) == (409, "job-not-failed") and again.json()["state"] == "queued"
    claimed = await queue.claim()
    assert claimed is not None and (claimed.id, claimed.attempt, claimed.failures) == (job_id, 2, 0)
    async with transaction(queue.workers, ada.id) as session:
        await finish_job(session, claimed, "cancelled", captured=300)
    timeline = (await ada.get(f"{PATH}/{job_id}/timeline")).json()
    assert [part["name"] for part in timeline["segments"]][2:] == ["failed", "queued", "claimed"]
    async with sessions("admin")() as session:
        audit = await session.execute(text("SELECT actor, subject, user_id FROM ops.audit_log"))
        assert audit.all() == [(f"admin:{root.id}", f"job:{job_id}", ada.id)]
        assert await session.scalar(text("SELECT count(*) FROM credits.holds")) == 0
        assert await ledger_check(session) == []


async def test_who_cannot_pay_is_not_queued_again(
    api: httpx.AsyncClient, queue: Queue, issuer: TokenIssuer, root: Caller, sessions: SessionsOf
) -> None:
    eve = new_caller(api, issuer)
    job_id = await fail(queue, eve.id)  # granted exactly its price, and given it back
    await give_credits(sessions("billing"), eve.id, 100)
    assert (await eve.post(PATH, REQUEST)).status_code == 202
    answer = await root.post(f"/api/v1/admin/jobs/{job_id}/requeue")
    assert problem_of(answer) == (402, "insufficient-credits")
    assert (await queue.read(eve.id, job_id)).state == "failed"


async def test_an_unknown_job_is_not_queued_again(root: Caller) -> None:
    answer = await root.post(f"/api/v1/admin/jobs/{uuid4()}/requeue")
    assert problem_of(answer) == (404, "generation-not-found")


async def test_cancelling_what_has_ended_says_how_it_ended(queue: Queue, ada: Caller) -> None:
    job_id = await fail(queue, ada.id)
    answer = await ada.post(f"{PATH}/{job_id}/cancel")
    assert problem_of(answer) == (409, "already-finished") and answer.json()["state"] == "failed"


async def test_the_limit_of_waiting_jobs_says_what_is_used(ada: Caller) -> None:
    for _ in range(10):
        assert (await ada.post(PATH, REQUEST)).status_code == 202
    body = (await ada.post(PATH, REQUEST)).json()
    assert (body["limit"], body["used"], body["allowed"]) == ("waiting_jobs", 10, 10)
    assert body["retry_after_seconds"] >= 1
    assert len(await walk(ada, PATH)) == 10
