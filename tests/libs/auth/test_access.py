"""What a route's declaration lets in, counts, and what a missing one does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from redis.asyncio import Redis
from sqlalchemy import text

from libs.auth.access import anyone, declare_access, services, supporters, users
from libs.auth.dependencies import CurrentPrincipal
from libs.auth.ended_logins import EndedLogins, end_logins
from libs.auth.principals import Principal, Role
from libs.auth.recent_login import RecentLoginRequired, require_recent_login
from libs.auth.request_limits import BY_ADDRESS, BY_USER
from libs.auth.tenant_application import TenantServiceSettings, build_tenant_application
from libs.auth.tokens import ACCESS_TOKEN_LIFETIME, issue_access_token
from libs.db.engine import build_engine, build_sessions
from libs.db.transaction import transaction
from libs.testkit.postgres import Database
from libs.testkit.tokens import ISSUER, TokenIssuer

router = APIRouter()


@router.get("/open", dependencies=[anyone()])
async def for_anyone() -> str:
    return "open"


@router.get("/mine", dependencies=[users("account:read")])
async def for_users(principal: CurrentPrincipal) -> dict[str, Any]:
    return {"id": str(principal.user_id), "tier": principal.tier}


@router.get("/staff", dependencies=[supporters()])
async def for_staff() -> str:
    return "staff"


@router.get("/inside", dependencies=[services("studio")])
async def for_a_service() -> str:
    return "inside"


@pytest.fixture
async def app(
    database: Database, redis_url: str, redis: Redis, issuer: TokenIssuer
) -> AsyncIterator[FastAPI]:
    settings = TenantServiceSettings(
        port=0, database_url=database.url("user"), jwks_url="http://issuer", redis_url=redis_url
    )
    app = build_tenant_application("user", settings, description="Doors.", routers=[router])
    app.state.token_verifier = issuer.verifier()
    app.state.ended_logins = EndedLogins(app.state.sessions, refresh_seconds=0)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
        yield client


def test_a_route_that_does_not_say_who_may_enter_stops_the_service() -> None:
    silent = APIRouter()
    silent.add_api_route("/silent", for_anyone)
    with pytest.raises(RuntimeError, match="/silent must declare who may enter"):
        declare_access([silent])


def test_a_route_that_says_it_twice_does_too() -> None:
    torn = APIRouter(dependencies=[anyone()])
    torn.add_api_route("/torn", for_anyone, dependencies=[users()])
    with pytest.raises(RuntimeError, match="once"):
        declare_access([torn])


@pytest.mark.parametrize(("role", "status"), [("user", 403), ("support", 200), ("admin", 200)])
async def test_roles(api: httpx.AsyncClient, issuer: TokenIssuer, role: Role, status: int) -> None:
    answer = await api.get("/staff", headers=issuer.headers(uuid4(), role=role))
    assert answer.status_code == status


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer ek_", "ek_x"]
)
async def test_no_credentials(api: httpx.AsyncClient, header: str) -> None:
    answer = await api.get("/mine", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_user_is_no_service(api: httpx.AsyncClient, issuer: TokenIssuer) -> None:
    admin = issuer.headers(uuid4(), role="admin")
    assert (await api.get("/inside", headers=admin)).status_code == 401


async def test_an_ended_login_is_refused_wherever_its_token_goes(
    api: httpx.AsyncClient, app: FastAPI, issuer: TokenIssuer
) -> None:
    now, session_id = datetime.now(UTC), uuid4()
    token = issue_access_token(
        issuer.key, issuer=ISSUER, user_id=uuid4(), session_id=session_id, now=now
    )
    headers = {"Authorization": f"Bearer {token}"}
    assert (await api.get("/mine", headers=headers)).status_code == 200
    async with transaction(app.state.sessions) as session:
        await end_logins(session, [session_id], now=now)
    assert (await api.get("/mine", headers=headers)).status_code == 401


async def test_an_ended_login_is_remembered_longer_than_the_clocks_differ(
    api: httpx.AsyncClient, app: FastAPI, issuer: TokenIssuer
) -> None:
    """The process that ended it was behind the one that had signed the token."""
    now, session_id = datetime.now(UTC), uuid4()
    signed = now - ACCESS_TOKEN_LIFETIME + timedelta(seconds=30)
    token = issue_access_token(
        issuer.key, issuer=ISSUER, user_id=uuid4(), session_id=session_id, now=signed
    )
    async with transaction(app.state.sessions) as session:
        await end_logins(session, [session_id], now=signed - timedelta(minutes=1))
    headers = {"Authorization": f"Bearer {token}"}
    assert (await api.get("/mine", headers=headers)).status_code == 401


async def test_the_list_of_ended_logins_stays_short(app: FastAPI, database: Database) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    async with transaction(app.state.sessions) as session:
        await end_logins(session, [uuid4(), uuid4()], now=long_ago)
        await end_logins(session, [uuid4()], now=datetime.now(UTC))
    engine = build_engine(database.admin_url, application="test")
    async with build_sessions(engine)() as admin:
        assert await admin.scalar(text("SELECT count(*) FROM ops.ended_logins")) == 1
    await engine.dispose()


async def test_a_plan_limits_requests_and_says_where_one_stands(
    api: httpx.AsyncClient, issuer: TokenIssuer
) -> None:
    limit, headers = BY_USER["free"], issuer.headers(uuid4())
    first = await api.get("/mine", headers=headers)
    assert first.headers["ratelimit-limit"] == str(limit.requests)
    assert int(first.headers["ratelimit-remaining"]) >= limit.requests - 2
    answers = await asyncio.gather(
        *(api.get("/mine", headers=headers) for _ in range(limit.requests + 10))
    )
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and len(answers) - len(refused) <= limit.requests + 5
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].json()["limit"] == "user"
    other = await api.get("/mine", headers=issuer.headers(uuid4(), tier="pro"))
    assert other.headers["ratelimit-limit"] == str(BY_USER["pro"].requests)


async def test_guessing_credentials_uses_up_the_address(api: httpx.AsyncClient) -> None:
    guesses = BY_ADDRESS.requests + 10
    answers = [
        await api.get("/mine", headers={"Authorization": f"Bearer ek_{n}"}) for n in range(guesses)
    ]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert (await api.get("/open")).status_code == 429


async def test_without_redis_reads_go_on(database: Database, issuer: TokenIssuer) -> None:
    settings = TenantServiceSettings(
        port=0,
        database_url=database.url("user"),
        jwks_url="http://issuer",
        redis_url="redis://127.0.0.1:1/0",
    )
    app = build_tenant_application("user", settings, description="Doors.", routers=[router])
    app.state.token_verifier = issuer.verifier()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door") as api,
    ):
        answer = await api.get("/mine", headers=issuer.headers(uuid4()))
    assert answer.status_code == 200
    assert "ratelimit-limit" not in answer.headers


@pytest.mark.parametrize(("minutes", "is_recent"), [(0, True), (9, True), (11, False)])
def test_a_recent_login(minutes: int, is_recent: bool) -> None:
    now = datetime.now(UTC)
    principal = Principal(uuid4(), authenticated_at=now - timedelta(minutes=minutes))
    if is_recent:
        require_recent_login(principal, now)
    else:
        with pytest.raises(RecentLoginRequired):
            require_recent_login(principal, now)


def test_an_api_key_is_never_a_recent_login() -> None:
    with pytest.raises(RecentLoginRequired):
        require_recent_login(Principal(uuid4(), key_id=uuid4()), datetime.now(UTC))
