"""API keys: made at the user service, taken by another one."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from sqlalchemy import text

from libs.auth.api_keys import ApiKeys, make_api_key
from libs.auth.signing_keys import make_signing_key
from libs.db.engine import build_engine, build_sessions
from libs.kernel.clock import utc_now
from libs.testkit.postgres import Database
from libs.testkit.tokens import TokenIssuer
from services.model.app import build_app as build_models
from services.model.settings import ModelSettings
from services.user.app import build_app
from services.user.service.api_keys import MAX_LIVE_KEYS
from services.user.settings import UserSettings
from tests.services.callers import Caller, named_fields, new_caller, problem_of

KEYS = "/api/v1/api-keys"
MODELS = "/api/v1/models"
REDIS = "redis://127.0.0.1:1/0"  # away: nothing is counted
READING = {"name": "batch", "scopes": ["models:read", "generations:read"]}


class Shop:
    """The user service, the model service that takes its keys, and the database behind both."""

    def __init__(self, users: httpx.AsyncClient, models: httpx.AsyncClient, admin: Any) -> None:
        self.users, self.models, self.admin = users, models, admin

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        async with self.admin.begin() as session:
            result = await session.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    async def put_on(self, caller: Caller, tier: str) -> None:
        await self.sql(
            "INSERT INTO ops.entitlements (user_id, tier) VALUES (:id, :tier)"
            " ON CONFLICT (user_id) DO UPDATE SET tier = excluded.tier",
            id=caller.id,
            tier=tier,
        )

    async def let_in(self, caller: Caller) -> None:
        """The account and the login that the caller's token speaks of."""
        token = caller.headers["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, options={"verify_signature": False})
        await self.sql(
            "INSERT INTO identity.users (id, email, display_name, created_at)"
            " VALUES (:id, :email, 'Ada', now())",
            id=caller.id,
            email=f"{caller.id}@example.com",
        )
        await self.sql(
            "INSERT INTO identity.sessions (id, user_id, created_at, refreshed_at)"
            " VALUES (:id, :user, now(), now())",
            id=UUID(claims["sid"]),
            user=caller.id,
        )

    async def use(self, key: str) -> httpx.Response:
        return await self.models.get(MODELS, headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
async def shop(database: Database, issuer: TokenIssuer, tmp_path: Path) -> AsyncIterator[Shop]:
    make_signing_key(tmp_path, utc_now())
    shared: dict[str, Any] = {
        "port": 0,
        "jwks_url": "http://issuer",
        "redis_url": REDIS,
        "public_url": "http://u",
    }
    users = build_app(
        UserSettings(database_url=database.url("user"), signing_keys=tmp_path, **shared)
    )
    models = build_models(ModelSettings(database_url=database.url("model"), **shared))
    for app in (users, models):
        app.state.token_verifier = issuer.verifier()
        app.state.api_keys = ApiKeys(app.state.sessions, cache_seconds=0)
    engine = build_engine(database.admin_url, application="test")
    async with (
        users.router.lifespan_context(users),
        models.router.lifespan_context(models),
        httpx.AsyncClient(transport=httpx.ASGITransport(users), base_url="http://u") as api,
        httpx.AsyncClient(transport=httpx.ASGITransport(models), base_url="http://m") as catalogue,
    ):
        yield Shop(api, catalogue, build_sessions(engine))
    await engine.dispose()


@pytest.fixture
async def ada(shop: Shop, issuer: TokenIssuer) -> Caller:
    """A customer whose plan has API keys."""
    caller = new_caller(shop.users, issuer)
    await shop.let_in(caller)
    await shop.put_on(caller, "pro")
    return caller


async def make(caller: Caller, **changes: Any) -> dict[str, Any]:
    answer = await caller.post(KEYS, {**READING, **changes})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_key_is_shown_once_and_works_at_another_service(shop: Shop, ada: Caller) -> None:
    made = await make(ada)
    assert made["key"].startswith(made["prefix"]) and made["last_used_at"] is None
    assert (await shop.use(made["key"])).status_code == 200
    (listed,) = (await ada.get(KEYS)).json()["items"]
    assert "key" not in listed and listed["last_used_at"] is not None
    assert made["key"] not in str(await shop.sql("SELECT * FROM ops.api_keys"))


async def test_the_plan_must_have_keys(shop: Shop, ada: Caller, issuer: TokenIssuer) -> None:
    nobody = new_caller(shop.users, issuer)
    await shop.let_in(nobody)
    answer = await nobody.post(KEYS, READING)
    assert problem_of(answer) == (403, "tier-required")
    assert answer.json()["required_tier"] == "pro"
    key = (await make(ada))["key"]
    await shop.put_on(ada, "starter")
    assert problem_of(await shop.use(key)) == (403, "tier-required")


async def test_a_key_does_what_its_scopes_say_and_never_what_is_for_logins(
    shop: Shop, ada: Caller
) -> None:
    key = (await make(ada, scopes=["images:read"]))["key"]
    refused = await shop.use(key)
    assert problem_of(refused) == (403, "scope-missing")
    assert refused.json()["required_scope"] == "models:read"
    own = Caller(shop.users, {"Authorization": f"Bearer {key}"}, ada.id)
    for answer in (await own.get(KEYS), await own.post(KEYS, READING)):
        assert problem_of(answer) == (403, "login-required")


async def test_an_ended_key_is_refused_and_cannot_be_ended_again(shop: Shop, ada: Caller) -> None:
    made = await make(ada)
    assert (await ada.delete(f"{KEYS}/{made['id']}")).status_code == 204
    assert problem_of(await shop.use(made["key"])) == (401, "unauthorized")
    assert problem_of(await ada.delete(f"{KEYS}/{made['id']}")) == (404, "api-key-not-found")
    (listed,) = (await ada.get(KEYS)).json()["items"]
    assert listed["ended_at"] is not None


async def test_a_key_of_somebody_else_cannot_be_ended(
    shop: Shop, ada: Caller, issuer: TokenIssuer
) -> None:
    made = await make(ada)
    eve = new_caller(shop.users, issuer)
    assert problem_of(await eve.delete(f"{KEYS}/{made['id']}")) == (404, "api-key-not-found")
    assert (await shop.use(made["key"])).status_code == 200


async def test_an_expired_key_is_refused(shop: Shop, ada: Caller) -> None:
    made = await make(ada, expires_at=(utc_now() + timedelta(days=1)).isoformat())
    await shop.sql(
        "UPDATE ops.api_keys SET created_at = now() - interval '2 days',"
        " expires_at = now() - interval '1 second'"
    )
    assert problem_of(await shop.use(made["key"])) == (401, "unauthorized")


@pytest.mark.parametrize("change", [lambda k: k[:-1], lambda k: k[:9] + "A" + k[10:], str.upper])
async def test_a_key_that_was_changed_is_refused(shop: Shop, ada: Caller, change: Any) -> None:
    changed = change((await make(ada))["key"].replace("A", "B"))
    assert problem_of(await shop.use(changed)) == (401, "unauthorized")


async def test_a_key_that_nobody_made_is_refused(shop: Shop) -> None:
    assert problem_of(await shop.use(make_api_key())) == (401, "unauthorized")


async def test_a_cap_is_set_with_the_key(shop: Shop, ada: Caller) -> None:
    cap = {"period": "day", "millicredits": 5_000}
    made = await make(ada, spend_cap=cap)
    assert made["spend_caps"] == [cap]
    (listed,) = (await ada.get(KEYS)).json()["items"]
    assert listed["spend_caps"] == [cap]
    rows = await shop.sql("SELECT key_id, period, millicredits FROM credits.spend_caps")
    assert [(str(key), period, amount) for key, period, amount in rows] == [
        (made["id"], "day", 5_000)
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": " "}, "body.name"),
        ({"scopes": []}, "body.scopes"),
        ({"scopes": ["models:read", "models:read"]}, "body.scopes"),
        ({"scopes": ["everything"]}, "body.scopes.0"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "body.expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "body.expires_at"),
        ({"spend_cap": {"period": "week", "millicredits": 1}}, "body.spend_cap.period"),
        ({"spend_cap": {"period": "day", "millicredits": -1}}, "body.spend_cap.millicredits"),
        ({"colour": "red"}, "body.colour"),
    ],
)
async def test_bad_fields_are_named(ada: Caller, change: dict[str, Any], field: str) -> None:
    assert named_fields(await ada.post(KEYS, {**READING, **change})) == [field]


async def test_nobody_collects_keys(shop: Shop, ada: Caller) -> None:
    for _ in range(MAX_LIVE_KEYS - 1):
        await shop.sql(
            "INSERT INTO ops.api_keys (id, user_id, name, prefix, key_hash, scopes, created_at)"
            " VALUES (gen_random_uuid(), :user, 'n', 'ek_', sha256(gen_random_uuid()::text::bytea),"
            " '{models:read}', now())",
            user=ada.id,
        )
    await make(ada)
    answer = await ada.post(KEYS, READING)
    assert problem_of(answer) == (409, "too-many-api-keys")
    assert answer.json()["limit"] == MAX_LIVE_KEYS


async def test_what_is_done_with_keys_is_in_the_audit_log(shop: Shop, ada: Caller) -> None:
    made = await make(ada)
    await ada.delete(f"{KEYS}/{made['id']}")
    rows = await shop.sql("SELECT actor, action, subject FROM ops.audit_log ORDER BY id")
    actor, subject = f"user:{ada.id}", f"api_key:{made['id']}"
    assert [tuple(row) for row in rows] == [
        (actor, "api_key.created", subject),
        (actor, "api_key.ended", subject),
    ]
