"""Registration: one account an address, the free month exactly once, nothing half done."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.credits.months import add_months
from libs.db.engine import Sessions
from libs.tiers.catalogue import load_catalogue
from tests.services.callers import named_fields, problem_of
from tests.services.user.accounts import ADA, AUTH, ME, as_user, register

SessionsOf = Callable[[str], Sessions]
FREE_MILLICREDITS = load_catalogue().tier("free").credits_month * 1_000


async def rows(sessions: SessionsOf, query: str) -> list[Any]:
    async with sessions("admin")() as session:
        return list(await session.execute(text(query)))


async def test_an_account_starts_with_the_free_month(
    api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
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


async def test_a_new_account_is_logged_in(api: httpx.AsyncClient) -> None:
    answer = await api.post(f"{AUTH}/register", json={**ADA, "email": "Ada@Example.COM"})
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    me = (await as_user(api, body).get(ME)).json()
    assert me == body["user"]
    assert (me["email"], me["display_name"], me["role"]) == ("ada@example.com", "Ada", "user")


async def test_an_address_has_one_account_in_any_spelling(
    api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    await register(api)
    again = await api.post(f"{AUTH}/register", json={**ADA, "email": "ADA@EXAMPLE.com"})
    assert problem_of(again) == (409, "email-taken")
    assert len(await rows(sessions, "SELECT id FROM identity.users")) == 1
    assert len(await rows(sessions, "SELECT id FROM credits.grants")) == 1


async def test_of_many_at_once_one_gets_the_address(
    api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    requests = (api.post(f"{AUTH}/register", json=ADA) for _ in range(6))
    answers = await asyncio.gather(*requests)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    for table in ("identity.users", "identity.sessions", "credits.accounts", "credits.grants"):
        assert len(await rows(sessions, f"SELECT 1 FROM {table}")) == 1


async def test_the_password_is_kept_as_argon2id_alone(
    api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    await register(api)
    ((kept,),) = await rows(sessions, "SELECT password_hash FROM identity.users")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert ADA["password"] not in kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("email", None),
        ("password", "123456789"),
        ("password", "x" * 129),
        ("display_name", "   "),
        ("display_name", "x" * 81),
        ("display_name", "a\u0000b"),
        ("role", "admin"),
    ],
)
async def test_a_bad_field_is_named(
    api: httpx.AsyncClient, sessions: SessionsOf, field: str, value: object
) -> None:
    answer = await api.post(f"{AUTH}/register", json={**ADA, field: value})
    assert named_fields(answer) == [f"body.{field}"]
    assert "123456789" not in answer.text
    assert await rows(sessions, "SELECT id FROM identity.users") == []
