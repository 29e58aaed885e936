"""Refresh tokens: each works once, a second use ends the family, logout ends it too."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.kernel.clock import utc_now
from services.user.tokens import judge_refresh_token
from tests.services.callers import named_fields, problem_of
from tests.services.user.accounts import AUTH, ME, as_user, log_in, refresh, register
from tests.services.user.conftest import OpenApi

SessionsOf = Callable[[str], Sessions]
REFUSED = (401, "invalid-refresh-token")


async def test_a_token_is_exchanged_for_the_next(api: httpx.AsyncClient) -> None:
    registered = await register(api)
    token = registered["refresh_token"]
    for _ in range(3):
        answer = await refresh(api, token)
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
        assert answer.json()["refresh_token"] != token
        token = answer.json()["refresh_token"]
    me = await as_user(api, {**registered, **answer.json()}).get(ME)
    assert me.json() == registered["user"]


async def test_a_reused_token_ends_its_family_and_no_other(
    api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    stolen = (await register(api))["refresh_token"]
    elsewhere = (await log_in(api))["refresh_token"]
    newest = (await refresh(api, stolen)).json()["refresh_token"]
    assert problem_of(await refresh(api, stolen)) == REFUSED
    assert problem_of(await refresh(api, newest)) == REFUSED
    async with sessions("admin")() as session:
        ended = text("SELECT count(*) FROM identity.sessions WHERE revoked_at IS NOT NULL")
        assert await session.scalar(ended) == 1
    assert (await refresh(api, elsewhere)).status_code == 200


async def test_of_two_uses_at_once_one_wins_and_the_family_ends(api: httpx.AsyncClient) -> None:
    token = (await register(api))["refresh_token"]
    answers = await asyncio.gather(*(refresh(api, token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert problem_of(await refresh(api, winner.json()["refresh_token"])) == REFUSED


async def test_logout_ends_the_family_and_may_be_repeated(api: httpx.AsyncClient) -> None:
    token = (await register(api))["refresh_token"]
    newer = (await refresh(api, token)).json()["refresh_token"]
    for value in (newer, newer, "never-given-out"):
        answer = await api.post(f"{AUTH}/logout", json={"refresh_token": value})
        assert (answer.status_code, answer.content) == (204, b"")
    assert problem_of(await refresh(api, newer)) == REFUSED


async def test_tokens_are_kept_as_hashes_alone(
    api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    token = (await register(api))["refresh_token"]
    async with sessions("admin")() as session:
        kept = list(await session.execute(text("SELECT * FROM identity.refresh_tokens")))
    assert [row.token_hash for row in kept] == [hashlib.sha256(token.encode()).digest()]
    assert token not in str(kept)


async def test_what_is_no_token_is_refused(api: httpx.AsyncClient) -> None:
    assert problem_of(await refresh(api, "never-given-out")) == REFUSED
    assert named_fields(await refresh(api, "white space")) == ["body.refresh_token"]


async def test_a_token_lives_thirty_days_and_the_dead_are_forgotten(open_api: OpenApi) -> None:
    now = utc_now()
    async with open_api(clock=lambda: now) as api:
        token = (await register(api))["refresh_token"]
        for _ in range(2):
            now += timedelta(days=29)
            answer = await refresh(api, token)
            assert answer.status_code == 200
            token = answer.json()["refresh_token"]
        # the first had expired when the third was made
        assert len(await api.sql("SELECT 1 FROM identity.refresh_tokens")) == 2
        now += timedelta(days=30)
        assert problem_of(await refresh(api, token)) == REFUSED
        assert await api.sql("SELECT 1 FROM identity.sessions WHERE revoked_at IS NOT NULL") == []


async def test_a_session_ends_after_ninety_days_however_often_it_is_used(
    open_api: OpenApi,
) -> None:
    began = now = utc_now()
    async with open_api(clock=lambda: now) as api:
        token = (await register(api))["refresh_token"]
        for day in (25, 50, 75, 89):
            now = began + timedelta(days=day)
            answer = await refresh(api, token)
            assert answer.status_code == 200
            token = answer.json()["refresh_token"]
        assert datetime.fromisoformat(answer.json()["refresh_expires_at"]) == began + timedelta(90)
        now = began + timedelta(days=90)
        assert problem_of(await refresh(api, token)) == REFUSED


@pytest.mark.parametrize(
    ("used", "expired", "revoked", "verdict"),
    [
        (False, False, False, "valid"),
        (True, False, False, "reused"),
        (True, True, False, "reused"),
        (False, True, False, "ended"),
        (False, False, True, "ended"),
        (True, False, True, "ended"),
    ],
)
def test_the_verdict_on_a_token(used: bool, expired: bool, revoked: bool, verdict: str) -> None:
    now = utc_now()
    judged = judge_refresh_token(
        used_at=now if used else None,
        expires_at=now if expired else now + timedelta(seconds=1),
        revoked_at=now if revoked else None,
        now=now,
    )
    assert judged == verdict
