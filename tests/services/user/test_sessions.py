"""Login sessions: listed with where they came from, ended one by one or all but this one."""

from datetime import timedelta
from uuid import uuid4

import pytest

from libs.kernel.clock import utc_now
from services.user.devices import MAX_USER_AGENT_LENGTH, network_of
from tests.services.callers import problem_of, walk
from tests.services.user.accounts import (
    AUTH,
    CREDENTIALS,
    ME,
    SESSIONS,
    UserApi,
    as_user,
    bearer,
    log_in,
    refresh,
    register,
)
from tests.services.user.conftest import OpenApi


@pytest.fixture
def eager(api: UserApi) -> UserApi:
    """A service that looks for ended logins at every request."""
    api.app.state.ended_logins.refresh_seconds = 0.0
    return api


async def opens(api: UserApi, tokens: dict[str, str]) -> bool:
    """Whether an access token is taken."""
    return (await api.get(ME, headers=bearer(tokens))).status_code == 200


async def test_logins_are_listed_newest_first_with_their_device(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    phone = {"User-Agent": "Phone\x1b[31m " + "x" * 300}
    await api.post(f"{AUTH}/login", json=CREDENTIALS, headers=phone)
    last = await log_in(api)
    await refresh(api, last["refresh_token"])
    listed = await walk(ada, SESSIONS, limit=1)
    assert [one["current"] for one in listed] == [False, False, True]
    assert listed[1]["user_agent"] == ("Phone[31m " + "x" * 300)[:MAX_USER_AGENT_LENGTH]
    assert listed[2]["user_agent"].startswith("python-httpx/")
    assert {one["network"] for one in listed} == {"127.0.0.0/24"}
    assert listed[0]["last_used_at"] > listed[0]["created_at"]
    assert listed[2]["last_used_at"] == listed[2]["created_at"]
    assert all(one["expires_at"][:4] >= one["created_at"][:4] for one in listed)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("", None),
        ("testclient", None),
    ],
)
def test_no_more_than_the_network_is_kept(address: str, network: str | None) -> None:
    assert network_of(address) == network


async def test_one_login_ends_with_its_tokens(eager: UserApi) -> None:
    ada = as_user(eager, await register(eager))
    phone = await log_in(eager)
    assert await opens(eager, phone)
    (found,) = [one for one in await walk(ada, SESSIONS) if not one["current"]]
    ended = await ada.delete(f"{SESSIONS}/{found['id']}")
    assert (ended.status_code, ended.content) == (204, b"")
    assert not await opens(eager, phone)
    assert (await refresh(eager, phone["refresh_token"])).status_code == 401
    assert [one["current"] for one in await walk(ada, SESSIONS)] == [True]
    again = await ada.delete(f"{SESSIONS}/{found['id']}")
    assert problem_of(again) == (404, "session-not-found")


async def test_what_ended_long_ago_is_forgotten(open_api: OpenApi) -> None:
    now = utc_now()
    async with open_api(clock=lambda: now) as api:
        first = await register(api)
        await api.post(f"{AUTH}/logout", json={"refresh_token": first["refresh_token"]})
        now += timedelta(days=60)
        second = await log_in(api)
        assert len(await api.sql("SELECT 1 FROM identity.sessions")) == 2
        now += timedelta(days=30)
        await log_in(api)
        assert len(await api.sql("SELECT 1 FROM identity.sessions")) == 2
        assert len(await api.sql("SELECT 1 FROM identity.refresh_tokens")) == 2
        assert (await refresh(api, second["refresh_token"])).status_code == 401  # 30 days unused


async def test_nobody_ends_anybody_elses(eager: UserApi) -> None:
    ada = as_user(eager, await register(eager))
    eve = as_user(eager, await register(eager, email="eve@example.com"))
    (hers,) = await walk(ada, SESSIONS)
    for session_id in (hers["id"], uuid4()):
        refused = await eve.delete(f"{SESSIONS}/{session_id}")
        assert problem_of(refused) == (404, "session-not-found")
    await eve.delete(SESSIONS)
    assert (await ada.get(ME)).status_code == 200


async def test_all_others_end(eager: UserApi) -> None:
    ada = as_user(eager, await register(eager))
    others = [await log_in(eager) for _ in range(3)]
    assert (await ada.delete(SESSIONS)).status_code == 204
    assert [await opens(eager, tokens) for tokens in others] == [False] * 3
    assert [one["current"] for one in await walk(ada, SESSIONS)] == [True]
    (line,) = await eager.sql("SELECT * FROM ops.audit_log WHERE action = 'login.others_revoked'")
    assert line.details["count"] == 3


async def test_logout_ends_the_access_token_too(eager: UserApi) -> None:
    tokens = await register(eager)
    answer = await eager.post(f"{AUTH}/logout", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 204
    assert not await opens(eager, tokens)


async def test_a_replayed_refresh_token_ends_the_access_tokens_of_its_family(
    eager: UserApi,
) -> None:
    first = await register(eager)
    elsewhere = await log_in(eager)
    second = (await refresh(eager, first["refresh_token"])).json()
    assert await opens(eager, first) and await opens(eager, second)
    assert (await refresh(eager, first["refresh_token"])).status_code == 401
    assert not await opens(eager, first) and not await opens(eager, second)
    assert await opens(eager, elsewhere)
    (line,) = await eager.sql("SELECT * FROM ops.audit_log WHERE action = 'login.replayed'")
    assert str(line.user_id) == first["user"]["id"]


async def test_a_refresh_token_is_no_access_token(api: UserApi) -> None:
    tokens = await register(api)
    swapped = {"access_token": tokens["refresh_token"]}
    answer = await api.get(ME, headers=bearer(swapped))
    assert problem_of(answer) == (401, "unauthorized")
    # and an access token refreshes nothing: it is not even of the form
    assert (await refresh(api, tokens["access_token"])).status_code in (401, 422)
