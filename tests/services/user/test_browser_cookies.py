"""Browsers keep the refresh token in a cookie, and no other site's page can use it."""

from http.cookies import SimpleCookie

import httpx
import pytest

from tests.services.callers import problem_of
from tests.services.user.accounts import (
    ADA,
    AUTH,
    CREDENTIALS,
    PUBLIC_URL,
    UserApi,
    ask_to_register,
    bearer,
    refresh,
    register,
)
from tests.services.user.conftest import OpenApi

COOKIE = "__Host-easel_refresh"
OWN_PAGE = {"X-Easel-Browser": "1", "Origin": PUBLIC_URL, "Sec-Fetch-Site": "same-origin"}
FOREIGN = [
    {"X-Easel-Browser": "1", "Origin": "https://evil.example"},
    {"X-Easel-Browser": "1", "Origin": "null"},
    {"X-Easel-Browser": "1", "Origin": "http://easel.example"},
    {"X-Easel-Browser": "1", "Origin": PUBLIC_URL, "Sec-Fetch-Site": "cross-site"},
    {"X-Easel-Browser": "1", "Sec-Fetch-Site": "same-site"},
]


def cookie_of(answer: httpx.Response) -> str:
    """The refresh token that the answer sets; "" where it takes it back."""
    (line,) = answer.headers.get_list("set-cookie")
    morsel = SimpleCookie(line)[COOKIE]
    attributes = {part.strip().lower() for part in line.split(";")[1:]}
    assert {"secure", "httponly", "samesite=strict", "path=/"} <= attributes
    assert not any(attribute.startswith("domain") for attribute in attributes)
    assert morsel["max-age"] in ("0", str(30 * 24 * 3600))
    return str(morsel.value) if morsel["max-age"] != "0" else ""


def with_cookie(token: str, headers: dict[str, str] = OWN_PAGE) -> dict[str, str]:
    return {**headers, "Cookie": f"{COOKIE}={token}"}


async def log_in_browser(api: UserApi) -> str:
    await register(api)
    answer = await api.post(f"{AUTH}/login", json=CREDENTIALS, headers=OWN_PAGE)
    assert answer.status_code == 200 and answer.json()["refresh_token"] is None
    token = cookie_of(answer)
    assert token and token not in answer.text
    return token


async def test_login_refresh_and_logout_by_cookie(api: UserApi) -> None:
    first = await log_in_browser(api)
    refreshed = await api.post(f"{AUTH}/refresh", headers=with_cookie(first))
    assert refreshed.status_code == 200 and refreshed.json()["refresh_token"] is None
    second = cookie_of(refreshed)
    assert second and second != first
    me = await api.get("/api/v1/users/me", headers=bearer(refreshed.json()))
    assert me.json()["email"] == ADA["email"]
    left = await api.post(f"{AUTH}/logout", headers=with_cookie(second))
    assert (left.status_code, cookie_of(left)) == (204, "")
    gone = await api.post(f"{AUTH}/refresh", headers=with_cookie(second))
    assert problem_of(gone) == (401, "invalid-refresh-token")
    assert cookie_of(gone) == ""


async def test_a_confirmed_registration_is_logged_in_by_cookie(api: UserApi) -> None:
    body = {"token": await ask_to_register(api), "password": ADA["password"]}
    answer = await api.post(f"{AUTH}/email/verify", json=body, headers=OWN_PAGE)
    assert answer.status_code == 201 and answer.json()["refresh_token"] is None
    token = cookie_of(answer)
    assert (await api.post(f"{AUTH}/refresh", headers=with_cookie(token))).status_code == 200


async def test_programs_get_no_cookie(api: UserApi) -> None:
    await register(api)
    answer = await api.post(f"{AUTH}/login", json=CREDENTIALS)
    assert "set-cookie" not in answer.headers
    again = await refresh(api, answer.json()["refresh_token"])
    assert again.status_code == 200 and "set-cookie" not in again.headers


async def test_a_cookie_without_the_header_is_not_looked_at(api: UserApi) -> None:
    """What a form of another site can send: the cookie and nothing else."""
    token = await log_in_browser(api)
    for path in ("refresh", "logout"):
        answer = await api.post(f"{AUTH}/{path}", headers={"Cookie": f"{COOKIE}={token}"})
        assert "set-cookie" not in answer.headers
        assert answer.status_code == (401 if path == "refresh" else 204)
    assert (await api.post(f"{AUTH}/refresh", headers=with_cookie(token))).status_code == 200


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_page_of_another_origin_is_refused(api: UserApi, headers: dict[str, str]) -> None:
    token = await log_in_browser(api)
    for path, body in (
        ("refresh", None),
        ("logout", None),
        ("login", CREDENTIALS),
        ("email/verify", {"token": "x", "password": "x"}),
    ):
        answer = await api.post(f"{AUTH}/{path}", json=body, headers=with_cookie(token, headers))
        assert problem_of(answer) == (403, "cross-site-request"), path
        assert "set-cookie" not in answer.headers
    assert (await api.post(f"{AUTH}/refresh", headers=with_cookie(token))).status_code == 200


async def test_the_cookie_opens_nothing_else(api: UserApi) -> None:
    token = await log_in_browser(api)
    for method, path in (("GET", "users/me"), ("DELETE", "sessions"), ("GET", "api-keys")):
        answer = await api.request(method, f"/api/v1/{path}", headers=with_cookie(token))
        assert problem_of(answer) == (401, "unauthorized")


async def test_a_stolen_cookie_ends_its_login(api: UserApi) -> None:
    token = await log_in_browser(api)
    newest = cookie_of(await api.post(f"{AUTH}/refresh", headers=with_cookie(token)))
    replayed = await api.post(f"{AUTH}/refresh", headers=with_cookie(token))
    assert problem_of(replayed) == (401, "invalid-refresh-token")
    after = await api.post(f"{AUTH}/refresh", headers=with_cookie(newest))
    assert problem_of(after) == (401, "invalid-refresh-token")


async def test_other_origins_may_not_send_the_header(open_api: OpenApi) -> None:
    """CORS names it to nobody and allows no cookies: a browser stops at the preflight."""
    partner = "https://partner.example"
    async with open_api(cors_origins=partner) as api:
        asked = {"Origin": partner, "Access-Control-Request-Method": "POST"}
        good = {**asked, "Access-Control-Request-Headers": "authorization"}
        assert (await api.options(f"{AUTH}/refresh", headers=good)).status_code == 200
        bad = {**asked, "Access-Control-Request-Headers": "x-easel-browser"}
        answer = await api.options(f"{AUTH}/refresh", headers=bad)
        assert answer.status_code == 400
        assert "x-easel-browser" not in answer.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers
