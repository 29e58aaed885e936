"""Passwords: changed by who knows the old one, chosen anew by who reads the e-mails."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from libs.kernel.clock import utc_now
from services.user.password_rules import frequent_passwords, weakness_of
from services.user.schemas import MIN_PASSWORD_LENGTH
from tests.services.callers import Caller, named_fields, problem_of
from tests.services.user.accounts import (
    ADA,
    AUTH,
    CREDENTIALS,
    ME,
    PUBLIC_URL,
    UserApi,
    as_user,
    bearer,
    log_in,
    refresh,
    register,
)
from tests.services.user.conftest import OpenApi

NEW = "staple battery horse"
INVALID = (400, "invalid-reset-token")


async def change(caller: Caller, **body: object) -> httpx.Response:
    wanted = {"current_password": ADA["password"], "new_password": NEW, **body}
    return await caller.post(f"{ME}/password", wanted)


async def forget(api: UserApi, email: str = ADA["email"]) -> str:
    """Ask for a new password, and the token that comes by e-mail."""
    answer = await api.post(f"{AUTH}/password/forgot", json={"email": email})
    assert (answer.status_code, answer.json()) == (202, {"status": "reset_password"})
    return await api.token_for(email)


async def choose(api: UserApi, token: str, password: str = NEW, **more: object) -> httpx.Response:
    body = {"token": token, "password": password, **more}
    return await api.post(f"{AUTH}/password/reset", json=body)


async def may_log_in(api: UserApi, password: str) -> bool:
    answer = await api.post(f"{AUTH}/login", json={**CREDENTIALS, "password": password})
    return answer.status_code == 200


async def add_key(api: UserApi, owner: Caller) -> None:
    await api.sql(
        "INSERT INTO ops.api_keys (id, user_id, name, prefix, key_hash, scopes, created_at)"
        " VALUES (:id, :user, 'k', 'ek_', sha256('k'), ARRAY['images:read'], now())",
        id=uuid4(),
        user=owner.id,
    )


async def live_keys(api: UserApi) -> int:
    return len(await api.sql("SELECT 1 FROM ops.api_keys WHERE ended_at IS NULL"))


async def test_a_change_ends_all_other_logins_and_is_told(api: UserApi) -> None:
    api.app.state.ended_logins.refresh_seconds = 0.0
    mine = await register(api)
    ada, other = as_user(api, mine), await log_in(api)
    await add_key(api, ada)
    answer = await change(ada)
    assert (answer.status_code, answer.content) == (204, b"")
    assert not await may_log_in(api, ADA["password"]) and await may_log_in(api, NEW)
    assert (await api.get(ME, headers=bearer(other))).status_code == 401
    assert (await refresh(api, other["refresh_token"])).status_code == 401
    assert (await ada.get(ME)).status_code == 200
    assert (await refresh(api, mine["refresh_token"])).status_code == 200
    letter = await api.newest_letter(ADA["email"])
    assert letter.subject == "Your password was changed" and not letter.holds_secret
    assert await live_keys(api) == 1
    (line,) = await api.sql("SELECT * FROM ops.audit_log WHERE action = 'password.changed'")
    assert line.user_id == ada.id and line.details["ended_api_keys"] is False


async def test_a_change_may_end_the_api_keys(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    await add_key(api, ada)
    assert (await change(ada, end_api_keys=True)).status_code == 204
    assert await live_keys(api) == 0


async def test_who_does_not_know_the_password_changes_nothing(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    refused = await change(ada, current_password="not that one")
    assert problem_of(refused) == (403, "wrong-password")
    assert await may_log_in(api, ADA["password"])


async def test_of_two_changes_at_once_one_wins(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    chosen = [f"staple battery {n} horse" for n in range(3)]
    answers = await asyncio.gather(*(change(ada, new_password=one) for one in chosen))
    assert sorted(answer.status_code for answer in answers) == [204, 403, 403]
    assert [await may_log_in(api, one) for one in chosen].count(True) == 1


async def test_an_account_without_a_password_gets_one_by_e_mail(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    await api.sql("UPDATE identity.users SET password_hash = NULL")
    assert (await ada.get(ME)).json()["has_password"] is False
    assert not await may_log_in(api, ADA["password"])
    assert problem_of(await change(ada)) == (403, "wrong-password")
    assert (await choose(api, await forget(api))).status_code == 204
    assert await may_log_in(api, NEW)


async def test_a_reset_ends_all_logins_and_is_told(api: UserApi) -> None:
    api.app.state.ended_logins.refresh_seconds = 0.0
    mine = await register(api)
    await add_key(api, as_user(api, mine))
    token = await forget(api)
    letter = await api.newest_letter(ADA["email"])
    assert letter.subject == "Choose a new password" and letter.holds_secret
    assert f"{PUBLIC_URL}/reset-password#token={token}" in letter.text
    assert await may_log_in(api, ADA["password"])
    assert (await choose(api, token)).status_code == 204
    assert not await may_log_in(api, ADA["password"]) and await may_log_in(api, NEW)
    assert (await api.get(ME, headers=bearer(mine))).status_code == 401
    assert (await refresh(api, mine["refresh_token"])).status_code == 401
    told = await api.newest_letter(ADA["email"])
    assert told.subject == "Your password was changed"
    assert await live_keys(api) == 1
    assert (await choose(api, await forget(api), end_api_keys=True)).status_code == 204
    assert await live_keys(api) == 0


async def test_a_reset_token_works_once(api: UserApi) -> None:
    await register(api)
    token = await forget(api)
    chosen = [f"staple battery {n} horse" for n in range(3)]
    answers = await asyncio.gather(*(choose(api, token, one) for one in chosen))
    assert sorted(answer.status_code for answer in answers) == [204, 400, 400]
    assert problem_of(await choose(api, token)) == INVALID


async def test_the_newest_reset_token_alone_counts(api: UserApi) -> None:
    await register(api)
    first, second = await forget(api), await forget(api)
    assert problem_of(await choose(api, first)) == INVALID
    assert (await choose(api, second)).status_code == 204


async def test_a_changed_password_ends_an_open_reset(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    token = await forget(api)
    await change(ada)
    assert problem_of(await choose(api, token, "another battery horse")) == INVALID


async def test_a_reset_token_lives_half_an_hour(open_api: OpenApi) -> None:
    now = utc_now()
    async with open_api(clock=lambda: now) as api:
        await register(api)
        token = await forget(api)
        now += timedelta(minutes=30)
        assert problem_of(await choose(api, token)) == INVALID
        now -= timedelta(seconds=1)
        assert (await choose(api, token)).status_code == 204


async def test_what_nobody_sent_resets_nothing(api: UserApi) -> None:
    await register(api)
    await api.post(f"{AUTH}/password/forgot", json={"email": "nobody@example.com"})
    letter = await api.newest_letter("nobody@example.com")
    assert letter.subject == "You have no Easel account with this address"
    assert "token" not in letter.text
    for token in ("never-given-out", "x" * 43):
        assert problem_of(await choose(api, token)) == INVALID


async def test_reset_tokens_are_kept_as_hashes_alone(api: UserApi) -> None:
    await register(api)
    token = await forget(api)
    assert token not in str(await api.sql("SELECT * FROM identity.password_resets"))


@pytest.mark.parametrize("weak", ["123456789", "password123", "Qwertyuiop", "ada@example.com"])
async def test_a_weak_password_is_refused_and_named(api: UserApi, weak: str) -> None:
    ada = as_user(api, await register(api))
    token = await forget(api)
    assert named_fields(await change(ada, new_password=weak)) == ["body.new_password"]
    assert named_fields(await choose(api, token, weak)) == ["body.password"]
    assert (await choose(api, token)).status_code == 204  # the token was not used up


def test_the_list_is_long_and_every_entry_would_pass_the_length() -> None:
    listed = frequent_passwords()
    assert len(listed) >= 3_000
    assert all(MIN_PASSWORD_LENGTH <= len(one) <= 128 and one == one.lower() for one in listed)
    assert {"1234567890", "qwertyuiop", "password123", "iloveyou123"} <= listed


@pytest.mark.parametrize(
    ("password", "is_weak"),
    [
        ("1234567890", True),
        (" PassWord123 ", True),
        ("ada.lovelace@example.com", True),
        ("Ada.Lovelace", True),
        ("ada lovelace", True),
        ("adalovelaceada lovelace", False),
        ("ada lovelaceada lovelace1842", True),
        ("EaselEasel2026", True),
        ("ada lovelace was here", False),
        ("correct horse battery", False),
        ("ääääääääääää", False),
    ],
)
def test_what_is_weak(password: str, is_weak: bool) -> None:
    found = weakness_of(password, email="ada.lovelace@example.com", display_name="Ada Lovelace")
    assert (found is not None) == is_weak
