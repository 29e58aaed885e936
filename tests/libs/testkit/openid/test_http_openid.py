"""The OpenID provider keeps to the protocol, and goes wrong exactly as it is told to."""

import asyncio
from typing import Any

import jwt
import pytest

from libs.testkit.oauth.people import PEOPLE
from libs.testkit.openid.fixture import OpenIdClient, running_openid
from libs.testkit.openid.id_tokens import FAULTS, subject_of
from libs.testkit.openid.keys import half_hash
from libs.testkit.openid.server import AUTHORIZE, TOKEN
from tests.libs.testkit.openid.sign_in import (
    GRACE,
    authorize_url,
    challenge_of,
    exchange,
    get_code,
    query_of,
)


async def published_keys(openid: OpenIdClient) -> dict[str, jwt.PyJWK]:
    discovered = (await openid.http.get("/.well-known/openid-configuration")).json()
    answer = await openid.http.get(discovered["jwks_uri"])
    return {str(key.key_id): key for key in jwt.PyJWKSet.from_dict(answer.json()).keys}


async def read_id_token(openid: OpenIdClient, token: str) -> dict[str, Any]:
    keys = await published_keys(openid)
    claims: dict[str, Any] = jwt.decode(
        token,
        keys[jwt.get_unverified_header(token)["kid"]],
        algorithms=["RS256", "ES256"],
        audience=openid.client.client_id,
        issuer=openid.issuer,
        options={"require": ["iat", "exp", "sub"]},
    )
    return claims


@pytest.mark.parametrize("basic", [True, False])
async def test_a_sign_in(openid: OpenIdClient, basic: bool) -> None:
    callback = await openid.choose(authorize_url(openid, AUTHORIZE), GRACE)
    assert callback.startswith(openid.client.redirect_uri + "?")
    assert query_of(callback)["state"] == "s-1"
    answer = await exchange(openid, TOKEN, query_of(callback)["code"], basic=basic)
    assert answer.status_code == 200 and "no-store" in answer.headers["cache-control"]
    body = answer.json()
    assert (body["token_type"], body["scope"]) == ("Bearer", "openid email profile")
    claims = await read_id_token(openid, body["id_token"])
    assert claims["sub"] == subject_of(GRACE) and len(claims["sub"]) == 21
    assert (claims["email"], claims["email_verified"]) == (GRACE.email, True)
    assert (claims["name"], claims["given_name"]) == ("Grace Hopper", "Grace")
    assert (claims["nonce"], claims["azp"]) == ("n-1", openid.client.client_id)
    assert claims["at_hash"] == half_hash(body["access_token"])
    assert claims["exp"] - claims["iat"] == 3600
    bearer = {"Authorization": f"Bearer {body['access_token']}"}
    userinfo = (await openid.http.get("/v1/userinfo", headers=bearer)).json()
    assert userinfo == {k: claims[k] for k in userinfo} and userinfo["email"] == GRACE.email


async def test_another_algorithm() -> None:
    async with running_openid(algorithm="ES256") as openid:
        body = (await exchange(openid, TOKEN, await get_code(openid, AUTHORIZE))).json()
        assert jwt.get_unverified_header(body["id_token"])["alg"] == "ES256"
        assert (await read_id_token(openid, body["id_token"]))["email"] == GRACE.email


async def test_the_page_offers_accounts_and_a_way_back(openid: OpenIdClient) -> None:
    url = authorize_url(openid, AUTHORIZE)
    page = await openid.http.get(url)
    assert all(person.email in page.text for person in PEOPLE)
    assert "<script" not in page.text
    chosen = await openid.http.post(url, data={"account": PEOPLE[0].email})
    assert "code" in query_of(chosen.headers["location"])
    denied = query_of(await openid.choose(url, None))
    assert (denied["error"], denied["state"]) == ("access_denied", "s-1")
    assert "code" not in denied


@pytest.mark.parametrize(
    "wrong", [{"client_id": "another"}, {"redirect_uri": "https://evil.example/"}]
)
async def test_nobody_is_redirected_for_a_stranger(
    openid: OpenIdClient, wrong: dict[str, str]
) -> None:
    answer = await openid.http.get(authorize_url(openid, AUTHORIZE, **wrong))
    assert answer.status_code == 400 and "location" not in answer.headers


async def test_a_form_of_another_site_is_refused(openid: OpenIdClient) -> None:
    url = authorize_url(openid, AUTHORIZE)
    form, origin = {"account": PEOPLE[0].email}, {"Origin": "https://evil.example"}
    assert (await openid.http.post(url, data=form, headers=origin)).status_code == 400


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"code": "guessed"}, "invalid_grant"),
        ({"redirect_uri": "http://user/elsewhere"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_secret": "guessed"}, "invalid_client"),
    ],
)
async def test_a_wrong_exchange_is_refused(
    openid: OpenIdClient, change: dict[str, Any], error: str
) -> None:
    code = await get_code(openid, AUTHORIZE)
    answer = await exchange(openid, TOKEN, code, **change)
    assert answer.json()["error"] == error
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert (await exchange(openid, TOKEN, code)).status_code == 200


async def test_a_short_verifier_is_refused(openid: OpenIdClient) -> None:
    code = await get_code(openid, AUTHORIZE, code_challenge=challenge_of("short"))
    answer = await exchange(openid, TOKEN, code, code_verifier="short")
    assert answer.json()["error"] == "invalid_grant"


async def test_a_code_works_once_and_its_second_use_ends_the_first(openid: OpenIdClient) -> None:
    code = await get_code(openid, AUTHORIZE)
    first = (await exchange(openid, TOKEN, code)).json()
    bearer = {"Authorization": f"Bearer {first['access_token']}"}
    assert (await openid.http.get("/v1/userinfo", headers=bearer)).status_code == 200
    assert (await exchange(openid, TOKEN, code)).json()["error"] == "invalid_grant"
    assert (await openid.http.get("/v1/userinfo", headers=bearer)).status_code == 401


async def test_a_code_expires(openid: OpenIdClient) -> None:
    await openid.steer(code_seconds=0.01)
    code = await get_code(openid, AUTHORIZE)
    await asyncio.sleep(0.05)
    assert (await exchange(openid, TOKEN, code)).json()["error"] == "invalid_grant"


async def test_keys_rotate_with_an_overlap(openid: OpenIdClient) -> None:
    before = set(await published_keys(openid))
    await openid.rotate()
    after = set(await published_keys(openid))
    assert before < after and len(after) == 2
    body = (await exchange(openid, TOKEN, await get_code(openid, AUTHORIZE))).json()
    assert jwt.get_unverified_header(body["id_token"])["kid"] in after - before
    await openid.rotate(keep=False)
    assert len(await published_keys(openid)) == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_shows_in_the_token(openid: OpenIdClient, fault: str) -> None:
    await openid.steer(fault=fault)
    wrong = (await exchange(openid, TOKEN, await get_code(openid, AUTHORIZE))).json()
    try:
        claims = await read_id_token(openid, wrong["id_token"])
    except (jwt.PyJWTError, KeyError):
        return
    right = {
        "nonce": "n-1",
        "azp": openid.client.client_id,
        "at_hash": half_hash(wrong["access_token"]),
        "email_verified": True,
    }
    assert {name: claims.get(name) for name in right} != right


async def test_it_can_be_away_and_come_back(openid: OpenIdClient) -> None:
    await openid.steer(fault="unavailable")
    assert (await openid.http.get("/.well-known/openid-configuration")).status_code == 503
    assert (await openid.http.get("/health")).status_code == 200
    await openid.steer(fault="")
    assert (await openid.http.get("/.well-known/openid-configuration")).status_code == 200


async def test_the_calls_tell_that_pkce_was_used(openid: OpenIdClient) -> None:
    await exchange(openid, TOKEN, await get_code(openid, AUTHORIZE), basic=True)
    (asked,), (exchanged,) = await openid.calls("authorize"), await openid.calls("token")
    assert asked["code_challenge_method"] == "S256"
    assert (exchanged["has_verifier"], exchanged["client_auth"]) == (True, "client_secret_basic")
    assert not {"client_secret", "code_verifier"} & set(exchanged)
