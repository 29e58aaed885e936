"""Asking for the deletion of one's account: who may, what it takes, what holds at once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.kernel.clock import utc_now
from tests.services.callers import named_fields, problem_of
from tests.services.user.accounts import (
    ADA,
    AUTH,
    CREDENTIALS,
    ME,
    UserApi,
    as_user,
    log_in,
    refresh,
    register,
)

CONFIRM = {"confirm": ADA["email"]}
PERSON = (
    "identity.users",
    "identity.sessions",
    "identity.refresh_tokens",
    "identity.password_resets",
)


async def delete(api: UserApi, tokens: dict[str, Any], body: Any = CONFIRM) -> Any:
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    return await api.request("DELETE", ME, json=body, headers=headers)


async def test_at_once_nobody_can_log_in(api: UserApi) -> None:
    registered = await register(api)
    elsewhere = await log_in(api)
    await api.post(f"{AUTH}/password/forgot", json={"email": ADA["email"]})
    answer = await delete(api, registered)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "requested"
    assert (await api.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 401
    for tokens in (registered, elsewhere):
        assert (await refresh(api, tokens["refresh_token"])).status_code == 401
        assert (await as_user(api, {**registered, **tokens}).get(ME)).status_code == 401
    for table in PERSON:
        assert await api.sql(f"SELECT * FROM {table}") == []
    ended = await api.sql("SELECT count(*) FROM ops.ended_logins")
    assert ended[0][0] == 2


async def test_it_asks_for_the_own_address(api: UserApi) -> None:
    registered = await register(api)
    for body in ({"confirm": "eve@example.com"}, {"confirm": "no address"}, {}):
        assert named_fields(await delete(api, registered, body)) == ["body.confirm"]
    assert (await as_user(api, registered).get(ME)).status_code == 200
    capitals = {"confirm": ADA["email"].upper()}
    assert (await delete(api, registered, capitals)).status_code == 202


async def test_it_asks_for_a_login_of_the_last_minutes(api: UserApi) -> None:
    registered = await register(api)
    user_id = UUID(registered["user"]["id"])
    sessions = await api.sql("SELECT id FROM identity.sessions")
    issuer = api.app.state.token_issuer
    token = issuer.access_token(
        user_id=user_id,
        session_id=sessions[0][0],
        role="user",
        tier="free",
        now=utc_now(),
        authenticated_at=utc_now() - timedelta(minutes=11),
    )
    answer = await delete(api, {"access_token": token})
    assert problem_of(answer) == (403, "recent-login-required")
    assert (await delete(api, await log_in(api))).status_code == 202


async def test_one_letter_is_left_and_tells_what_happens(api: UserApi) -> None:
    registered = await register(api)
    erasure = (await delete(api, registered)).json()["id"]
    letters = await api.sql("SELECT key, recipient, subject FROM ops.emails")
    assert [tuple(row) for row in letters] == [
        (f"goodbye:{erasure}", ADA["email"], "Your Easel account is deleted")
    ]
    assert erasure in (await api.newest_letter(ADA["email"])).text


async def test_what_waited_for_the_same_address_goes_with_it(api: UserApi) -> None:
    """A registration and letters from before there was the account, under other ids."""
    for _ in range(2):
        await api.post(f"{AUTH}/register", json=ADA)
    registered = await register(api)
    assert (await delete(api, registered)).status_code == 202
    assert await api.sql("SELECT * FROM identity.pending_registrations") == []
    assert len(await api.sql("SELECT * FROM ops.emails")) == 1


async def test_another_account_is_as_before(api: UserApi) -> None:
    eve = as_user(api, await register(api, email="eve@example.com"))
    before = [tuple(row) for row in await api.sql("SELECT key FROM ops.emails")]
    assert (await delete(api, await register(api))).status_code == 202
    assert (await eve.get(ME)).status_code == 200
    after = [tuple(row) for row in await api.sql("SELECT key FROM ops.emails")]
    assert set(before) <= set(after)


async def test_the_address_can_register_again_and_is_somebody_else(api: UserApi) -> None:
    first = await register(api)
    assert (await delete(api, first)).status_code == 202
    second = await register(api)
    assert second["user"]["id"] != first["user"]["id"]
    assert (await delete(api, second)).status_code == 202
    assert len(await api.sql("SELECT * FROM identity.erasures")) == 2


async def test_the_audit_log_keeps_that_it_was_asked_for_and_no_name(api: UserApi) -> None:
    registered = await register(api)
    await delete(api, registered)
    lines = await api.sql("SELECT CAST(t AS text) FROM ops.audit_log t ORDER BY id")
    assert "account.erasure_requested" in lines[-1][0]
    assert not any(ADA["email"] in row[0] or ADA["display_name"] in row[0] for row in lines)


@pytest.mark.parametrize("suspended", [False, True])
async def test_the_last_administrator_stays(api: UserApi, suspended: bool) -> None:
    """One who is suspended administers nothing."""
    registered = await register(api)
    other = await register(api, email="eve@example.com")
    await api.sql(
        "UPDATE identity.users SET role = 'admin' WHERE email = :email", email=ADA["email"]
    )
    if suspended:
        await api.sql(
            "UPDATE identity.users SET role = 'admin', suspended_at = now() WHERE id = :id",
            id=other["user"]["id"],
        )
    assert problem_of(await delete(api, registered)) == (409, "last-administrator")
    await api.sql(
        "UPDATE identity.users SET role = 'admin', suspended_at = NULL WHERE id = :id",
        id=other["user"]["id"],
    )
    assert (await delete(api, registered)).status_code == 202
