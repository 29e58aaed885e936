"""The Discord double answers as Discord documents it."""

import pytest

from libs.testkit.discord.server import FAULTS
from libs.testkit.oauth.browser import ProviderClient
from libs.testkit.oauth.people import Person
from tests.libs.testkit.openid.sign_in import (
    GRACE,
    authorize_url,
    exchange,
    get_code,
    query_of,
)

AUTHORIZE, TOKEN, ME = "/oauth2/authorize", "/api/oauth2/token", "/api/users/@me"


async def bearer(discord: ProviderClient, scope: str = "identify email") -> dict[str, str]:
    code = await get_code(discord, AUTHORIZE, scope=scope)
    answer = await exchange(discord, TOKEN, code)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 604_800, scope)
    return {"Authorization": f"Bearer {body['access_token']}"}


async def test_a_sign_in(discord: ProviderClient) -> None:
    user = (await discord.http.get(ME, headers=await bearer(discord))).json()
    assert user["id"].isdecimal() and len(user["id"]) >= 17
    assert (user["username"], user["global_name"]) == ("grace", "Grace Hopper")
    assert (user["email"], user["verified"]) == (GRACE.email, True)


async def test_an_address_is_shown_by_its_scope_alone(discord: ProviderClient) -> None:
    user = (await discord.http.get(ME, headers=await bearer(discord, "identify"))).json()
    assert "email" not in user and "verified" not in user


async def test_an_unverified_address(discord: ProviderClient) -> None:
    url = authorize_url(discord, AUTHORIZE, scope="identify email")
    mallory = Person("mallory@example.com", "Mallory", verified=False)
    code = query_of(await discord.choose(url, mallory))["code"]
    token = (await exchange(discord, TOKEN, code)).json()["access_token"]
    answer = await discord.http.get(ME, headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["verified"] is False


async def test_pkce_is_checked_and_plain_is_refused(discord: ProviderClient) -> None:
    code = await get_code(discord, AUTHORIZE)
    refused = await exchange(discord, TOKEN, code, code_verifier="")
    assert refused.json() == {
        "error": "invalid_request",
        "error_description": 'Missing "code_verifier"',
    }
    url = authorize_url(discord, AUTHORIZE, code_challenge_method="plain")
    answer = await discord.http.get(url)
    assert query_of(answer.headers["location"])["error"] == "invalid_request"


async def test_a_code_works_once(discord: ProviderClient) -> None:
    code = await get_code(discord, AUTHORIZE)
    assert (await exchange(discord, TOKEN, code)).status_code == 200
    again = await exchange(discord, TOKEN, code)
    assert again.status_code == 400
    assert again.json()["error_description"] == 'Invalid "code" in request.'


async def test_json_is_no_token_request(discord: ProviderClient) -> None:
    answer = await discord.http.post(TOKEN, json={"grant_type": "authorization_code"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_without_a_token_nobody_is_shown(discord: ProviderClient) -> None:
    answer = await discord.http.get(ME, headers={"Authorization": "Bearer guessed"})
    assert (answer.status_code, answer.json()["message"]) == (401, "401: Unauthorized")


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_shows(discord: ProviderClient, fault: str) -> None:
    headers = await bearer(discord)
    good = await discord.http.get(ME, headers=headers)
    await discord.steer(fault=fault)
    assert (await discord.http.get(ME, headers=headers)).text != good.text
