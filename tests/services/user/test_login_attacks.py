"""What guessers and listeners try at the door, one test each."""

import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from libs.auth.passwords import LANE, THREADS
from tests.services.callers import problem_of
from tests.services.user.accounts import (
    ADA,
    AUTH,
    CREDENTIALS,
    ME,
    SESSIONS,
    UserApi,
    as_user,
    ask_to_register,
    refresh,
    register,
)
from tests.services.user.conftest import OpenApi

AWAY = "redis://127.0.0.1:1/0"
NOBODY = "nobody@example.com"
ROUNDS = 15
Ask = Callable[[UserApi, str], Awaitable[httpx.Response]]


async def log_in_wrongly(api: UserApi, email: str) -> httpx.Response:
    return await api.post(f"{AUTH}/login", json={"email": email, "password": "wrong horse"})


async def ask_for_account(api: UserApi, email: str) -> httpx.Response:
    return await api.post(f"{AUTH}/register", json={**ADA, "email": email})


async def forget(api: UserApi, email: str) -> httpx.Response:
    return await api.post(f"{AUTH}/password/forgot", json={"email": email})


every_door = pytest.mark.parametrize("ask", [log_in_wrongly, ask_for_account, forget])


def engine_of(api: UserApi) -> Engine:
    engine: Engine = api.app.state.sessions.kw["bind"].sync_engine
    return engine


@contextmanager
def statements_of(api: UserApi) -> Iterator[list[str]]:
    """The statements that the service sends inside the block."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(engine_of(api), "before_cursor_execute", note)
    yield seen
    event.remove(engine_of(api), "before_cursor_execute", note)


@every_door
async def test_answers_do_not_tell_who_has_an_account(api: UserApi, ask: Ask) -> None:
    await register(api)
    answers = [await ask(api, email) for email in (ADA["email"], NOBODY)]
    bodies = [answer.json() for answer in answers]
    for body in bodies:
        body.pop("request_id", None)
    assert bodies[0] == bodies[1]
    heads = [dict(answer.headers) for answer in answers]
    for head in heads:
        for own in ("x-request-id", "ratelimit-remaining", "ratelimit-reset", "ratelimit"):
            head.pop(own, None)
    assert heads[0] == heads[1]
    assert answers[0].status_code == answers[1].status_code


@every_door
async def test_limits_do_not_tell_what_others_do_with_an_address(api: UserApi, ask: Ask) -> None:
    """Who has just registered, or forgot a password, has used some of what the address may."""
    await register(api)
    for _ in range(3):
        await forget(api, ADA["email"])
    told = []
    for number, email in enumerate((ADA["email"], NOBODY)):
        async with UserApi(api.app, api.admin, f"203.0.113.{number}") as stranger:
            answer = await ask(stranger, email)
        told.append({name: v for name, v in answer.headers.items() if "ratelimit" in name})
    assert told[0] == told[1] and told[0]


@every_door
async def test_the_database_is_asked_the_same(api: UserApi, ask: Ask) -> None:
    await register(api)
    asked = []
    for email in (ADA["email"], NOBODY):
        with statements_of(api) as seen:
            await ask(api, email)
        asked.append(seen)
    assert asked[0] == asked[1] and len(asked[0]) >= 3


@every_door
async def test_the_work_does_not_tell_who_has_an_account(open_api: OpenApi, ask: Ask) -> None:
    """Processor time, which other programs on this machine do not disturb: without the hash of
    nobody an unknown address would cost a tenth."""
    plenty = dict.fromkeys(
        ("logins_per_account", "logins_per_account_and_address", "letters_per_account"), 1_000
    )
    async with open_api(letters_per_address=1_000, **plenty) as api:
        await register(api)
        spent: dict[str, list[float]] = {ADA["email"]: [], NOBODY: []}
        for _ in range(ROUNDS):
            for email, times in spent.items():
                started = time.process_time()
                await ask(api, email)
                times.append(time.process_time() - started)
    known, unknown = (statistics.median(times) for times in spent.values())
    assert 0.7 < unknown / known < 1.4


async def test_one_password_over_many_accounts_is_throttled(open_api: OpenApi) -> None:
    async with open_api(logins_per_address=8) as api:
        registered = await register(api)  # the confirmation counts, too
        for n in range(7):
            answer = await log_in_wrongly(api, f"user{n}@example.com")
            assert problem_of(answer) == (401, "invalid-credentials")
        refused = await api.post(f"{AUTH}/login", json=CREDENTIALS)
        assert problem_of(refused) == (429, "rate-limited")
        assert refused.json()["limit"] == "login-address"
        assert 0 < int(refused.headers["retry-after"]) <= 15 * 60
        assert (await as_user(api, registered).get(ME)).status_code == 200
        elsewhere = httpx.ASGITransport(api.app, client=("203.0.113.9", 1))
        async with httpx.AsyncClient(transport=elsewhere, base_url="http://user") as other:
            assert (await other.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200


async def test_many_addresses_on_one_account_are_throttled(open_api: OpenApi) -> None:
    async with open_api(logins_per_account=5, logins_per_account_and_address=2) as api:
        await register(api)
        limits = []
        for number in range(4):
            transport = httpx.ASGITransport(api.app, client=(f"203.0.113.{number}", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://user") as guesser:
                for _ in range(3):
                    body = {"email": ADA["email"], "password": "wrong horse"}
                    answer = await guesser.post(f"{AUTH}/login", json=body)
                    limits.append(answer.json().get("limit"))
    both, account = "login-both", "login-account"
    assert limits == [*(None, None, both) * 2, None, account, account, *(account,) * 3]


@pytest.mark.parametrize("email", [ADA["email"], NOBODY])
async def test_a_mailbox_is_not_flooded(open_api: OpenApi, email: str) -> None:
    async with open_api(letters_per_account=3) as api:
        await register(api)
        left = 2 if email == ADA["email"] else 3
        statuses = [(await forget(api, email)).status_code for _ in range(left + 1)]
        assert statuses == [202] * left + [429]
        refused = await ask_for_account(api, email)
        assert refused.json()["limit"] == "letter-account"


async def test_without_redis_nobody_logs_in_and_reading_goes_on(open_api: OpenApi) -> None:
    async with open_api() as api:
        registered = await register(api)
        token = await ask_to_register(api, email="eve@example.com")
    async with open_api(redis_url=AWAY) as api:
        ada = as_user(api, registered)
        bodies = {
            "register": ADA,
            "email/verify": {"token": token, "password": ADA["password"]},
            "login": CREDENTIALS,
            "refresh": {"refresh_token": registered["refresh_token"]},
            "password/forgot": {"email": ADA["email"]},
            "password/reset": {"token": token, "password": "staple battery horse"},
        }
        for path, body in bodies.items():
            answer = await api.post(f"{AUTH}/{path}", json=body)
            assert problem_of(answer) == (503, "service-unavailable"), path
            assert int(answer.headers["retry-after"]) > 0
        for path in (ME, f"{ME}/entitlements", SESSIONS):
            assert (await ada.get(path)).status_code == 200
    async with open_api() as api:  # and nothing was used up
        assert (await refresh(api, registered["refresh_token"])).status_code == 200


async def test_no_connection_is_held_while_a_password_is_hashed(api: UserApi) -> None:
    await register(api)
    pool: Any = engine_of(api).pool
    asking = [
        asyncio.create_task(ask(api, email))
        for ask in (log_in_wrongly, ask_for_account)
        for email in (ADA["email"], NOBODY)
    ]
    asking.append(asyncio.create_task(api.post(f"{AUTH}/login", json=CREDENTIALS)))
    open_lane = threading.Event()
    for _ in range(THREADS):  # nobody's hash is made before all of them wait
        LANE.threads.submit(open_lane.wait, 60)
    for _ in range(60_000):
        if LANE.waiting == len(asking):
            break
        await asyncio.sleep(0.001)
    waiting, held = LANE.waiting, pool.checkedout()
    open_lane.set()
    await asyncio.gather(*asking)
    assert (waiting, held) == (len(asking), 0)


async def test_no_login_with_the_old_password_outlives_its_change(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    change = {"current_password": ADA["password"], "new_password": "staple battery horse"}
    racing = [api.post(f"{AUTH}/login", json=CREDENTIALS) for _ in range(6)]
    answers = await asyncio.gather(*racing, ada.post(f"{ME}/password", change))
    assert answers[-1].status_code == 204
    assert {answer.status_code for answer in answers[:-1]} <= {200, 401}
    live = await api.sql("SELECT 1 FROM identity.sessions WHERE revoked_at IS NULL")
    assert len(live) == 1
    for answer in answers[:-1]:
        if answer.status_code == 200:
            assert (await refresh(api, answer.json()["refresh_token"])).status_code == 401
