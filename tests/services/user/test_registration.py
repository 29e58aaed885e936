"""Registration: who reads the e-mail and knows the password gets one account."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.credits.months import add_months
from libs.db.engine import Sessions
from libs.kernel.clock import utc_now
from libs.tiers.catalogue import load_catalogue
from tests.services.callers import named_fields, problem_of
from tests.services.user.accounts import (
    ADA,
    AUTH,
    ME,
    PUBLIC_URL,
    UserApi,
    as_user,
    ask_to_register,
    confirm,
    register,
)
from tests.services.user.conftest import OpenApi

SessionsOf = Callable[[str], Sessions]
FREE_MILLICREDITS = load_catalogue().tier("free").credits_month * 1_000
INVALID = (400, "invalid-confirmation-token")


async def rows(sessions: SessionsOf, query: str) -> list[Any]:
    async with sessions("admin")() as session:
        return list(await session.execute(text(query)))


async def test_an_account_starts_with_the_free_month(api: UserApi, sessions: SessionsOf) -> None:
    body = await register(api)
    (grant,) = await rows(sessions, "SELECT * FROM credits.open_grants")
    created = datetime.fromisoformat(body["user"]["created_at"])
    assert str(grant.user_id) == body["user"]["id"]
    assert (grant.kind, grant.amount, grant.remaining) == (
        "free",
        FREE_MILLICREDITS,
        FREE_MILLICREDITS,
    )
    assert grant.key == f"free:{grant.user_id}:{created:%Y-%m-%d}"
    assert grant.expires_at == add_months(created, 1)
    (account,) = await rows(sessions, "SELECT * FROM credits.accounts")
    assert (account.opened_at, account.next_free_at) == (created, add_months(created, 1))
    (balance,) = await rows(sessions, "SELECT * FROM credits.balances")
    assert (balance.available, balance.held) == (FREE_MILLICREDITS, 0)
    async with sessions("admin")() as session:
        assert await ledger_check(session) == []


async def test_before_the_confirmation_there_is_nothing(api: UserApi) -> None:
    answer = await api.post(f"{AUTH}/register", json=ADA)
    assert (answer.status_code, answer.json()) == (202, {"status": "confirm_email"})
    letter = await api.newest_letter(ADA["email"])
    assert letter.subject == "Confirm your e-mail address" and letter.holds_secret
    assert f"{PUBLIC_URL}/confirm-email#token=" in letter.text
    for table in ("identity.users", "credits.accounts", "credits.grants"):
        assert await api.sql(f"SELECT 1 FROM {table}") == []
    login = {"email": ADA["email"], "password": ADA["password"]}
    refused = await api.post(f"{AUTH}/login", json=login)
    assert problem_of(refused) == (401, "invalid-credentials")


async def test_a_confirmed_account_is_logged_in(api: UserApi) -> None:
    token = await ask_to_register(api, email="Ada@Example.COM")
    answer = await confirm(api, token)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    me = (await as_user(api, body).get(ME)).json()
    assert me == body["user"]
    assert (me["email"], me["display_name"], me["role"]) == ("ada@example.com", "Ada", "user")
    assert me["email_verified"] and me["has_password"]


async def test_a_token_works_once(api: UserApi) -> None:
    token = await ask_to_register(api)
    answers = await asyncio.gather(*(confirm(api, token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
    assert problem_of(await confirm(api, token)) == INVALID
    for table in ("identity.users", "identity.sessions", "credits.accounts", "credits.grants"):
        assert len(await api.sql(f"SELECT 1 FROM {table}")) == 1


async def test_who_does_not_know_the_password_confirms_nothing(api: UserApi) -> None:
    """A stranger registers Ada's address: Ada's click makes no account with his password."""
    token = await ask_to_register(api)
    for left in (4, 3, 2, 1, 0):
        refused = await confirm(api, token, "not that password")
        assert problem_of(refused) == (403, "wrong-password")
        assert refused.json()["tries_left"] == left
    assert problem_of(await confirm(api, token)) == INVALID
    assert await api.sql("SELECT 1 FROM identity.users") == []


async def test_many_tries_at_once_are_five(api: UserApi) -> None:
    token = await ask_to_register(api)
    tries = (confirm(api, token, f"not that password {n}") for n in range(12))
    answers = [problem_of(answer) for answer in await asyncio.gather(*tries)]
    assert answers.count((403, "wrong-password")) == 5
    assert answers.count(INVALID) == 7


async def test_a_token_lives_a_day(open_api: OpenApi) -> None:
    now = utc_now()
    async with open_api(clock=lambda: now) as api:
        token = await ask_to_register(api)
        now += timedelta(hours=24)
        assert problem_of(await confirm(api, token)) == INVALID
        now -= timedelta(seconds=1)
        assert (await confirm(api, token)).status_code == 201


async def test_what_has_expired_is_forgotten(open_api: OpenApi) -> None:
    async with open_api(clock=lambda: utc_now() - timedelta(hours=25)) as api:
        await ask_to_register(api)
    async with open_api() as api:
        await ask_to_register(api, email="eve@example.com")
        pending = await api.sql("SELECT email FROM identity.pending_registrations")
        assert [row.email for row in pending] == ["eve@example.com"]


async def test_registering_again_sends_another_link_and_either_works(api: UserApi) -> None:
    first = await ask_to_register(api)
    second = await ask_to_register(api, password="another horse battery")
    assert (await confirm(api, second, "another horse battery")).status_code == 201
    assert problem_of(await confirm(api, first)) == (409, "email-taken")
    assert len(await api.sql("SELECT 1 FROM identity.users")) == 1
    assert len(await api.sql("SELECT 1 FROM credits.grants")) == 1


async def test_an_address_has_one_account_in_any_spelling(api: UserApi) -> None:
    await register(api)
    answer = await api.post(f"{AUTH}/register", json={**ADA, "email": "ADA@EXAMPLE.com"})
    assert (answer.status_code, answer.json()) == (202, {"status": "confirm_email"})
    letter = await api.newest_letter(ADA["email"])
    assert letter.subject == "You already have an Easel account"
    assert "token" not in letter.text
    assert len(await api.sql("SELECT 1 FROM identity.users")) == 1


async def test_passwords_and_tokens_are_kept_as_hashes_alone(api: UserApi) -> None:
    token = await ask_to_register(api)
    (pending,) = await api.sql("SELECT * FROM identity.pending_registrations")
    assert pending.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert token not in str(pending)
    await confirm(api, token)
    (user,) = await api.sql("SELECT * FROM identity.users")
    assert user.password_hash == pending.password_hash and ADA["password"] not in str(user)
    assert await api.sql("SELECT 1 FROM identity.pending_registrations") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("email", None),
        ("password", "123456789"),
        ("password", "x" * 129),
        ("password", "1234567890"),
        ("password", "QwertyUiop"),
        ("password", "ada@example.com"),
        ("display_name", "   "),
        ("display_name", "x" * 81),
        ("display_name", "a\u0000b"),
        ("role", "admin"),
    ],
)
async def test_a_bad_field_is_named(api: UserApi, field: str, value: object) -> None:
    answer = await api.post(f"{AUTH}/register", json={**ADA, field: value})
    assert named_fields(answer) == [f"body.{field}"]
    assert "123456789" not in answer.text
    assert await api.sql("SELECT 1 FROM identity.pending_registrations") == []


async def test_the_opening_is_in_the_audit_log(api: UserApi) -> None:
    body = await register(api)
    lines = await api.sql("SELECT * FROM ops.audit_log ORDER BY id")
    assert [line.action for line in lines] == ["account.opened", "login.opened"]
    for line in lines:
        assert str(line.user_id) == body["user"]["id"]
        assert line.actor == line.subject == f"user:{body['user']['id']}"
        assert len(line.details["request_id"]) == 32 and "@" not in str(line.details)
