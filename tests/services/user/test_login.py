"""Login: right, wrong and unknown; stale hashes; the published keys."""

from collections.abc import Callable

import httpx
import jwt
from argon2 import PasswordHasher
from sqlalchemy import text

from libs.db.engine import Sessions
from tests.services.callers import named_fields, problem_of
from tests.services.user.accounts import ADA, AUTH, CREDENTIALS, ME, as_user, log_in, register

SessionsOf = Callable[[str], Sessions]
WRONG = {**CREDENTIALS, "password": "wrong horse battery"}
UNKNOWN = {**CREDENTIALS, "email": "nobody@example.com"}


async def test_the_right_password_opens_a_session_of_its_own(api: httpx.AsyncClient) -> None:
    registered = await register(api)
    first, second = await log_in(api), await log_in(api)
    me = await as_user(api, {**registered, **first}).get(ME)
    assert me.json() == registered["user"]
    tokens = (first["access_token"], second["access_token"])
    sessions = {jwt.decode(token, options={"verify_signature": False})["sid"] for token in tokens}
    assert len(sessions) == 2


async def test_a_wrong_password_and_an_unknown_address_are_refused(
    api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    registered = await register(api)
    for credentials in (WRONG, UNKNOWN):
        answer = await api.post(f"{AUTH}/login", json=credentials)
        assert problem_of(answer) == (401, "invalid-credentials")
    query = text("SELECT * FROM ops.audit_log WHERE action = 'login.failed' ORDER BY id")
    async with sessions("admin")() as session:
        wrong, unknown = await session.execute(query)
    assert (str(wrong.user_id), unknown.user_id) == (registered["user"]["id"], None)
    assert unknown.details["network"] == "127.0.0.0/24" and "@" not in str(unknown)


async def test_a_weak_hash_is_replaced_at_login(
    api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    await register(api)
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(ADA["password"])
    kept = text("SELECT password_hash FROM identity.users")
    async with sessions("admin").begin() as session:
        change = text("UPDATE identity.users SET password_hash = :weak")
        await session.execute(change, {"weak": weak})
    await log_in(api)
    async with sessions("admin")() as session:
        assert "m=19456,t=2" in str(await session.scalar(kept))
    await log_in(api)


async def test_a_bad_field_is_named(api: httpx.AsyncClient) -> None:
    answer = await api.post(f"{AUTH}/login", json={"email": "x", "password": ""})
    assert named_fields(answer) == ["body.email", "body.password"]


async def test_the_published_key_verifies_tokens_and_holds_no_secret(
    api: httpx.AsyncClient,
) -> None:
    registered = await register(api)
    answer = await api.get(f"{AUTH}/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    (key,) = answer.json()["keys"]
    assert "d" not in key and key["use"] == "sig"
    claims = jwt.decode(
        registered["access_token"], jwt.PyJWK(key), audience="easel-api", issuer="easel"
    )
    assert claims["sub"] == registered["user"]["id"]
    assert claims["exp"] - claims["iat"] == 900
