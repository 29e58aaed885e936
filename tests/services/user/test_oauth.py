"""Sign in with Google and Discord: which account opens, and what is kept of it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from libs.testkit.oauth.browser import ProviderClient
from libs.testkit.oauth.people import Person
from libs.testkit.openid.fixture import OpenIdClient, running_openid
from tests.services.callers import problem_of
from tests.services.user.accounts import (
    ADA,
    AUTH,
    UserApi,
    ask_to_register,
    confirm,
    log_in,
    register,
)
from tests.services.user.conftest import OpenApi
from tests.services.user.sign_ins import (
    GRACE,
    OAUTH,
    OAUTH_COOKIE,
    REFRESH_COOKIE,
    Browser,
    discord_settings,
    error_of,
    google_settings,
)

ADA_AT_GOOGLE = Person("Ada@Example.com", "Ada Lovelace")
IDENTITIES = "/api/v1/users/me/identities"
WAITING = """
    SELECT count(*) AS waiting FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def google_api(open_api: OpenApi, openid: OpenIdClient) -> AsyncIterator[UserApi]:
    async with open_api(**google_settings(openid)) as api:
        yield api


@pytest.fixture
def browser(google_api: UserApi, openid: OpenIdClient) -> Browser:
    return Browser(google_api, openid)


async def test_a_new_account_is_made_and_logged_in(browser: Browser) -> None:
    answer = await browser.sign_in(GRACE, return_to="/account?tab=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?tab=1")
    assert "no-store" in answer.headers["cache-control"]
    me = await browser.account()
    assert (me["email"], me["display_name"]) == ("grace@example.com", "Grace Hopper")
    assert (me["email_verified"], me["has_password"], me["role"]) == (True, False, "user")
    (kinds,) = await browser.api.sql("SELECT array_agg(kind) AS kinds FROM credits.grants")
    assert kinds.kinds == ["free"]
    actions = await browser.api.sql("SELECT action FROM ops.audit_log ORDER BY id")
    assert [row.action for row in actions] == ["account.opened", "identity.linked", "login.opened"]


async def test_the_cookie_is_for_this_host_and_no_script(browser: Browser) -> None:
    await browser.sign_in(GRACE)
    refresh = next(line for line in browser.set_cookies if line.startswith(REFRESH_COOKIE))
    attributes = {part.strip().lower() for part in refresh.split(";")[1:]}
    assert {"secure", "httponly", "samesite=strict", "path=/"} <= attributes
    assert "domain" not in refresh.lower()
    assert OAUTH_COOKIE not in browser.cookies


async def test_the_same_subject_opens_the_same_account_whatever_its_address(
    browser: Browser, openid: OpenIdClient
) -> None:
    await browser.sign_in(GRACE)
    first = await browser.account()
    for fault in ("email_not_verified", "no_email"):
        await openid.steer(fault=fault)
        assert (await browser.sign_in(GRACE)).headers["location"] == "/account"
        assert (await browser.account())["id"] == first["id"]
    (row,) = await browser.api.sql("SELECT created_at, last_used_at FROM identity.identities")
    assert row.last_used_at > row.created_at


async def test_a_verified_address_links_to_its_account_and_its_owner_is_told(
    browser: Browser,
) -> None:
    registered = await register(browser.api)
    assert (await browser.sign_in(ADA_AT_GOOGLE)).headers["location"] == "/account"
    me = await browser.account()
    assert (me["id"], me["display_name"]) == (registered["user"]["id"], "Ada")
    assert me["has_password"] is True
    letter = await browser.api.newest_letter(ADA["email"])
    assert "Google" in letter.subject and registered["user"]["id"] == str(letter.user_id)
    await log_in(browser.api)  # the password goes on


async def test_an_unverified_address_opens_nobodys_account_and_makes_none(
    browser: Browser, openid: OpenIdClient
) -> None:
    registered = await register(browser.api)
    for fault in ("email_not_verified", "verification_unsaid", "no_email"):
        await openid.steer(fault=fault)
        for person in (ADA_AT_GOOGLE, GRACE):
            assert error_of(await browser.sign_in(person)) == "provider-email-unverified"
            assert REFRESH_COOKIE not in browser.cookies
    users = await browser.api.sql("SELECT id FROM identity.users")
    assert [str(user.id) for user in users] == [registered["user"]["id"]]
    assert await browser.api.sql("SELECT 1 FROM identity.identities") == []


async def test_whoever_typed_the_address_first_has_nothing(browser: Browser) -> None:
    token = await ask_to_register(browser.api, email="grace@example.com")
    await browser.sign_in(GRACE)
    assert problem_of(await confirm(browser.api, token)) == (400, "invalid-confirmation-token")
    assert await browser.api.sql("SELECT 1 FROM identity.pending_registrations") == []
    answer = await browser.api.post(
        f"{AUTH}/login", json={"email": "grace@example.com", "password": ADA["password"]}
    )
    assert problem_of(answer) == (401, "invalid-credentials")


async def test_of_two_sign_ins_at_once_one_makes_the_account(
    browser: Browser, google_api: UserApi, openid: OpenIdClient
) -> None:
    other = Browser(google_api, openid)
    callbacks = [await one.choose(GRACE) for one in (browser, other)]
    await asyncio.gather(browser.get(callbacks[0]), other.get(callbacks[1]))
    assert (await browser.account())["id"] == (await other.account())["id"]
    for table in ("identity.users", "identity.identities", "credits.grants"):
        assert len(await google_api.sql(f"SELECT 1 FROM {table}")) == 1


async def test_a_suspended_account_does_not_open(browser: Browser) -> None:
    await browser.sign_in(GRACE)
    await browser.api.sql("UPDATE identity.users SET suspended_at = now()")
    assert error_of(await browser.sign_in(GRACE)) == "account-suspended"


async def test_the_name_of_a_provider_is_made_fit(browser: Browser) -> None:
    await browser.sign_in(Person("long@example.com", "\u202e" + "x" * 200))
    assert (await browser.account())["display_name"] == "x" * 80


async def test_linked_logins_are_listed_and_ended_but_not_the_last_way_in(
    open_api: OpenApi, openid: OpenIdClient, discord: ProviderClient
) -> None:
    async with open_api(**google_settings(openid), **discord_settings(discord)) as api:
        offered = (await api.get(OAUTH)).json()["items"]
        assert [(one["provider"], one["label"]) for one in offered] == [
            ("google", "Google (local)"),
            ("discord", "Discord"),
        ]
        browser = Browser(api, openid)
        await browser.sign_in(GRACE)
        browser.name, browser.provider = "discord", discord
        await browser.sign_in(GRACE)
        headers = await browser.bearer()
        items = (await api.get(IDENTITIES, headers=headers)).json()["items"]
        assert [(one["provider"], one["email"]) for one in items] == [
            ("google", "grace@example.com"),
            ("discord", "grace@example.com"),
        ]
        first, last = (f"{IDENTITIES}/{one['id']}" for one in items)
        assert (await api.delete(first, headers=headers)).status_code == 204
        assert problem_of(await api.delete(first, headers=headers)) == (404, "identity-not-found")
        assert problem_of(await api.delete(last, headers=headers)) == (409, "last-way-in")
        assert len((await api.get(IDENTITIES, headers=headers)).json()["items"]) == 1


async def test_links_end_one_after_the_other(browser: Browser) -> None:
    """Two requests that each leave the other's link would leave none: the account's row is held."""
    await browser.sign_in(GRACE)
    headers, api = await browser.bearer(), browser.api
    (one,) = (await api.get(IDENTITIES, headers=headers)).json()["items"]
    async with api.admin.begin() as session:
        await session.execute(text("SELECT 1 FROM identity.users FOR NO KEY UPDATE"))
        request = asyncio.create_task(api.delete(f"{IDENTITIES}/{one['id']}", headers=headers))
        for _ in range(1000):
            if request.done() or (await api.sql(WAITING))[0].waiting:
                break
            await asyncio.sleep(0.01)
        assert not request.done()
    assert problem_of(await request) == (409, "last-way-in")


async def test_another_users_link_is_not_there(browser: Browser) -> None:
    await browser.sign_in(GRACE)
    (row,) = await browser.api.sql("SELECT id FROM identity.identities")
    await browser.sign_in(Person("eve@example.com", "Eve"))
    headers = await browser.bearer()
    answer = await browser.api.delete(f"{IDENTITIES}/{row.id}", headers=headers)
    assert problem_of(answer) == (404, "identity-not-found")
    assert len(await browser.api.sql("SELECT 1 FROM identity.identities")) == 2


async def test_discord_leads_to_an_account_too(open_api: OpenApi, discord: ProviderClient) -> None:
    async with open_api(**discord_settings(discord)) as api:
        browser = Browser(api, discord, "discord")
        assert (await browser.sign_in(GRACE)).headers["location"] == "/account"
        assert (await browser.account())["display_name"] == "Grace Hopper"
        unverified = Person("eve@example.com", "Eve", verified=False)
        assert error_of(await browser.sign_in(unverified)) == "provider-email-unverified"
        await discord.steer(fault="not_json")
        assert error_of(await browser.sign_in(GRACE)) == "provider-unavailable"


async def test_the_providers_keys_may_rotate(browser: Browser, openid: OpenIdClient) -> None:
    for keep in (True, False, False):
        await browser.sign_in(GRACE)
        first = await browser.account()
        await openid.rotate(keep=keep)
        assert (await browser.sign_in(GRACE)).headers["location"] == "/account"
        assert (await browser.account())["id"] == first["id"]


async def test_a_provider_that_signs_with_es256(open_api: OpenApi) -> None:
    async with running_openid(algorithm="ES256") as openid:
        async with open_api(**google_settings(openid)) as api:
            browser = Browser(api, openid)
            assert (await browser.sign_in(GRACE)).headers["location"] == "/account"


async def test_pkce_and_the_nonce_are_sent_and_the_verifier_is_shown(
    browser: Browser, openid: OpenIdClient
) -> None:
    await browser.sign_in(GRACE)
    (asked,), (exchanged,) = await openid.calls("authorize"), await openid.calls("token")
    assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
    assert len(asked["nonce"]) == 43 and len(asked["state"]) == 43
    assert len({asked["nonce"], asked["state"], asked["code_challenge"]}) == 3
    assert exchanged["has_verifier"] is True


async def test_a_provider_without_settings_is_not_offered(
    api: UserApi, openid: OpenIdClient
) -> None:
    assert (await api.get(OAUTH)).json() == {"items": []}
    browser = Browser(api, openid)
    assert error_of(await browser.get(f"{OAUTH}/google/start")) == "provider-not-offered"
    assert error_of(await browser.get(f"{OAUTH}/github/callback")) == "provider-not-offered"
    answer = await api.get(f"{OAUTH}/google/start")
    assert problem_of(answer) == (404, "provider-not-offered")


async def test_a_provider_that_is_away_is_told_as_such(
    browser: Browser, openid: OpenIdClient
) -> None:
    await openid.steer(fault="unavailable")
    assert error_of(await browser.get(f"{OAUTH}/google/start")) == "provider-unavailable"
    browser.accept = "application/json"
    answer = await browser.get(f"{OAUTH}/google/start")
    assert problem_of(answer) == (503, "provider-unavailable")
    assert int(answer.headers["retry-after"]) > 0
    browser.accept = "text/html"
    await openid.steer(fault="")
    callback = await browser.choose(GRACE)
    await openid.steer(fault="unavailable")
    assert error_of(await browser.get(callback)) == "provider-unavailable"
    assert await browser.api.sql("SELECT 1 FROM identity.users") == []


async def test_who_turns_back_is_not_logged_in(browser: Browser) -> None:
    assert error_of(await browser.sign_in(None)) == "sign-in-cancelled"
    assert REFRESH_COOKIE not in browser.cookies
