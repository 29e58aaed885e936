"""Nothing that opens an account is left over when its owner, or staff, has closed the doors."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from tests.services.callers import problem_of
from tests.services.user.accounts import (
    ADA,
    AUTH,
    CREDENTIALS,
    ME,
    SESSIONS,
    UserApi,
    bearer,
    log_in,
    make_staff,
    register,
)

KEYS = "/api/v1/api-keys"
READING = {"name": "batch", "scopes": ["account:read"]}
GONE = {"confirm": ADA["email"]}
WAITING = """
    SELECT count(*) AS waiting FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
Closing = Callable[[UserApi, dict[str, Any]], Awaitable[httpx.Response]]


async def on_pro(api: UserApi) -> dict[str, Any]:
    """Ada, whose plan has API keys."""
    ada = await register(api)
    user_id = UUID(ada["user"]["id"])
    await api.sql("INSERT INTO ops.entitlements (user_id, tier) VALUES (:id, 'pro')", id=user_id)
    return ada


async def suspend(api: UserApi, ada: dict[str, Any]) -> httpx.Response:
    root = await make_staff(api, "admin")
    change = {"suspended": True, "reason": "stolen cards"}
    return await root.patch(f"/api/v1/admin/users/{ada['user']['id']}", change)


async def reset(api: UserApi, _ada: dict[str, Any]) -> httpx.Response:
    await api.post(f"{AUTH}/password/forgot", json={"email": ADA["email"]})
    token = await api.token_for(ADA["email"])
    choice = {"token": token, "password": "staple battery horse", "end_api_keys": True}
    return await api.post(f"{AUTH}/password/reset", json=choice)


async def erase(api: UserApi, ada: dict[str, Any]) -> httpx.Response:
    return await api.request("DELETE", ME, json=GONE, headers=bearer(ada))


async def until_waiting(api: UserApi, count: int) -> None:
    """So many transactions wait for a lock."""
    for _ in range(1000):
        if (await api.sql(WAITING))[0].waiting >= count:
            return
        await asyncio.sleep(0.01)
    pytest.fail("nothing waits")


@pytest.mark.parametrize("close", [suspend, reset, erase])
async def test_no_key_is_made_in_the_seconds_after_a_login_ended(
    api: UserApi, close: Closing
) -> None:
    ada = await on_pro(api)
    api.app.state.ended_logins.refresh_seconds = 3600.0  # as if this process had not heard of it
    assert (await api.get(ME, headers=bearer(ada))).status_code == 200
    assert (await close(api, ada)).is_success
    made = await api.post(KEYS, json=READING, headers=bearer(ada))
    assert problem_of(made) == (401, "unauthorized")
    assert await api.sql("SELECT FROM ops.api_keys") == []


async def test_no_account_is_erased_in_the_seconds_after_a_login_ended(api: UserApi) -> None:
    ada = await register(api)
    api.app.state.ended_logins.refresh_seconds = 3600.0
    assert (await api.get(ME, headers=bearer(ada))).status_code == 200
    assert (await reset(api, ada)).is_success
    assert problem_of(await erase(api, ada)) == (401, "unauthorized")


async def test_a_key_that_is_being_made_ends_with_the_others(api: UserApi) -> None:
    ada = await on_pro(api)
    root = await make_staff(api, "admin")
    address = f"/api/v1/admin/users/{ada['user']['id']}"
    change = {"suspended": True, "reason": "stolen cards"}
    async with api.admin.begin() as session:
        await session.execute(text("LOCK TABLE ops.api_keys IN SHARE MODE"))
        making = asyncio.create_task(api.post(KEYS, json=READING, headers=bearer(ada)))
        await until_waiting(api, 1)
        closing = asyncio.create_task(root.patch(address, change))
        await until_waiting(api, 2)
    made, closed = await asyncio.gather(making, closing)
    assert (made.status_code, closed.status_code) == (201, 200)
    (key,) = await api.sql("SELECT ended_at FROM ops.api_keys")
    assert key.ended_at is not None


async def test_a_login_that_is_under_way_ends_with_the_account(api: UserApi) -> None:
    ada = await register(api)
    async with api.admin.begin() as session:
        await session.execute(text("LOCK TABLE ops.audit_log IN SHARE MODE"))
        opening = asyncio.create_task(api.post(f"{AUTH}/login", json=CREDENTIALS))
        await until_waiting(api, 1)
        closing = asyncio.create_task(erase(api, ada))
        await until_waiting(api, 2)
    opened, closed = await asyncio.gather(opening, closing)
    assert (opened.status_code, closed.status_code) == (200, 202)
    api.app.state.ended_logins.refresh_seconds = 0.0
    assert (await api.get(SESSIONS, headers=bearer(opened.json()))).status_code == 401


async def test_of_two_deletions_at_once_one_finds_no_account(api: UserApi) -> None:
    ada = await register(api)
    other = await log_in(api)
    answers = await asyncio.gather(*(erase(api, tokens) for tokens in (ada, other)))
    assert sorted(answer.status_code for answer in answers) == [202, 401]
