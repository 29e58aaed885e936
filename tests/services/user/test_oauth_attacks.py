"""What an attacker brings to a sign-in with a provider, one test each: nobody is logged in."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from libs.kernel.clock import utc_now
from libs.testkit.oauth.people import Person
from libs.testkit.openid.fixture import OpenIdClient
from tests.services.callers import named_fields, problem_of
from tests.services.user.accounts import UserApi, register
from tests.services.user.conftest import OpenApi
from tests.services.user.sign_ins import (
    GRACE,
    OAUTH,
    OAUTH_COOKIE,
    REFRESH_COOKIE,
    Browser,
    error_of,
    google_settings,
    with_query,
)


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
async def api(open_api: OpenApi, openid: OpenIdClient, clock: Hand) -> AsyncIterator[UserApi]:
    async with open_api(clock=clock, **google_settings(openid)) as api:
        yield api


@pytest.fixture
def browser(api: UserApi, openid: OpenIdClient) -> Browser:
    return Browser(api, openid)


async def nobody_is_logged_in(browser: Browser) -> None:
    assert REFRESH_COOKIE not in browser.cookies
    assert await browser.api.sql("SELECT 1 FROM identity.sessions") == []
    assert await browser.api.sql("SELECT 1 FROM identity.identities") == []


@pytest.mark.parametrize("state", [None, "", "x" * 43])
async def test_a_tampered_state(browser: Browser, state: str | None) -> None:
    callback = with_query(await browser.choose(GRACE), state=state)
    assert error_of(await browser.get(callback)) == "sign-in-expired"
    await nobody_is_logged_in(browser)


async def test_a_replayed_state(browser: Browser, openid: OpenIdClient) -> None:
    first = await browser.choose(GRACE)
    browser_secret = browser.cookies[OAUTH_COOKIE]
    assert (await browser.get(first)).headers["location"] == "/account"
    del browser.cookies[REFRESH_COOKIE]
    browser.cookies[OAUTH_COOKIE] = browser_secret
    assert error_of(await browser.get(first)) == "sign-in-expired"
    assert REFRESH_COOKIE not in browser.cookies
    assert len(await openid.calls("token")) == 1


async def test_a_state_of_another_browser(
    browser: Browser, api: UserApi, openid: OpenIdClient
) -> None:
    """Login CSRF: the attacker's code in the victim's browser, with and without a sign-in there."""
    attacker = Browser(api, openid)
    callback = await attacker.choose(Person("eve@example.com", "Eve"))
    assert error_of(await browser.get(callback)) == "sign-in-expired"
    await browser.leave()
    assert error_of(await browser.get(callback)) == "sign-in-expired"
    await nobody_is_logged_in(browser)
    assert await openid.calls("token") == []


async def test_a_state_of_another_provider(browser: Browser) -> None:
    callback = (await browser.choose(GRACE)).replace("/google/", "/discord/")
    assert error_of(await browser.get(callback)) == "provider-not-offered"


async def test_a_state_that_is_too_old(browser: Browser, clock: Hand) -> None:
    callback = await browser.choose(GRACE)
    clock.ahead = timedelta(minutes=10, seconds=1)
    assert error_of(await browser.get(callback)) == "sign-in-expired"
    await nobody_is_logged_in(browser)
    await browser.leave()
    assert len(await browser.api.sql("SELECT 1 FROM identity.oauth_attempts")) == 1


async def test_a_code_of_another_sign_in(
    browser: Browser, api: UserApi, openid: OpenIdClient
) -> None:
    """Code injection: PKCE ties the code to the sign-in that it was given to."""
    victim = Browser(api, openid)
    stolen = await victim.choose(GRACE)
    own = await browser.choose(Person("eve@example.com", "Eve"))
    code = dict(part.split("=") for part in stolen.partition("?")[2].split("&"))["code"]
    assert error_of(await browser.get(with_query(own, code=code))) == "sign-in-refused"
    await nobody_is_logged_in(browser)


async def test_a_replayed_code(browser: Browser) -> None:
    first = await browser.choose(GRACE)
    used = dict(part.split("=") for part in first.partition("?")[2].split("&"))["code"]
    await browser.get(first)
    del browser.cookies[REFRESH_COOKIE]
    again = with_query(await browser.choose(GRACE), code=used)
    assert error_of(await browser.get(again)) == "sign-in-refused"
    assert REFRESH_COOKIE not in browser.cookies


@pytest.mark.parametrize(
    "fault",
    [
        "wrong_nonce",
        "no_nonce",
        "expired",
        "no_expiry",
        "wrong_audience",
        "wrong_party",
        "wrong_issuer",
        "wrong_at_hash",
        "no_subject",
        "alg_none",
        "key_confusion",
        "forged",
        "no_id_token",
    ],
)
async def test_an_id_token_that_is_wrong(
    browser: Browser, openid: OpenIdClient, fault: str
) -> None:
    await openid.steer(fault=fault)
    callback = await browser.choose(GRACE)
    assert error_of(await browser.get(callback)) == "sign-in-refused"
    await nobody_is_logged_in(browser)
    await openid.steer(fault="")
    assert (await browser.sign_in(GRACE)).headers["location"] == "/account"


async def test_an_account_is_not_taken_over_by_an_unverified_address(
    browser: Browser, api: UserApi
) -> None:
    await register(api)
    taker = Person("ada@example.com", "Mallory", verified=False)
    assert error_of(await browser.sign_in(taker)) == "provider-email-unverified"
    assert REFRESH_COOKIE not in browser.cookies
    assert await api.sql("SELECT 1 FROM identity.identities") == []


@pytest.mark.parametrize(
    "return_to",
    [
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "account",
        "",
        "/" + "x" * 500,
    ],
)
async def test_an_open_redirect(browser: Browser, return_to: str) -> None:
    answer = await browser.api.get(f"{OAUTH}/google/start", params={"return_to": return_to})
    assert problem_of(answer) == (422, "validation-failed")
    assert named_fields(answer) == ["query.return_to"]
    assert "location" not in answer.headers


async def test_no_secret_is_stored_or_shown(browser: Browser) -> None:
    url = await browser.leave()
    (row,) = await browser.api.sql("SELECT * FROM identity.oauth_attempts")
    kept = repr(row)
    secret = browser.cookies[OAUTH_COOKIE]
    assert secret not in kept and secret not in url
    state = dict(part.split("=") for part in url.partition("?")[2].split("&"))["state"]
    assert state not in kept


async def test_an_error_of_the_provider_ends_the_sign_in(browser: Browser) -> None:
    callback = await browser.choose(GRACE)
    broken = with_query(callback, code=None, error="server_error")
    assert error_of(await browser.get(broken)) == "sign-in-refused"
    assert error_of(await browser.get(callback)) == "sign-in-expired"
    await nobody_is_logged_in(browser)


async def test_tries_are_counted(open_api: OpenApi, openid: OpenIdClient) -> None:
    async with open_api(logins_per_address=3, **google_settings(openid)) as api:
        browser = Browser(api, openid)
        for _ in range(3):
            assert error_of(await browser.get(f"{OAUTH}/google/callback")) == "sign-in-expired"
        assert error_of(await browser.get(f"{OAUTH}/google/callback")) == "rate-limited"
        answer = await api.get(f"{OAUTH}/google/callback")
        assert problem_of(answer) == (429, "rate-limited")
