"""Signing in with a provider, as a person with a browser does it."""

from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx

from libs.testkit.oauth.browser import ProviderClient
from libs.testkit.oauth.people import Person
from tests.services.user.accounts import PUBLIC_URL, UserApi

OAUTH = "/api/v1/auth/oauth"
GRACE = Person("Grace@example.com", "Grace Hopper")
MALLORY = Person("ada@example.com", "Mallory", verified=False)
OAUTH_COOKIE, REFRESH_COOKIE = "__Host-easel_oauth", "__Host-easel_refresh"


def google_settings(provider: ProviderClient) -> dict[str, str]:
    return {
        "google_issuer": provider.base_url,
        "google_client_id": provider.client.client_id,
        "google_client_secret": provider.client.client_secret,
        "google_label": "Google (local)",
    }


def discord_settings(provider: ProviderClient) -> dict[str, str]:
    return {
        "discord_base_url": provider.base_url,
        "discord_client_id": provider.client.client_id,
        "discord_client_secret": provider.client.client_secret,
    }


class Browser:
    """Keeps cookies, asks for pages, and says who it is for."""

    def __init__(self, api: UserApi, provider: ProviderClient, name: str = "google") -> None:
        self.api, self.provider, self.name = api, provider, name
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.accept = "text/html,application/xhtml+xml"

    async def get(self, path: str) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Accept": self.accept, **({"Cookie": cookies} if cookies else {})}
        answer = await self.api.get(path, headers=headers)
        self.set_cookies = answer.headers.get_list("set-cookie")
        for line in self.set_cookies:
            for name, morsel in SimpleCookie(line).items():
                self.cookies.pop(name, None)
                if morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
        return answer

    async def leave(self, **query: str) -> str:
        """Begin; the provider's address."""
        path = f"{OAUTH}/{self.name}/start"
        answer = await self.get(f"{path}?{urlencode(query)}" if query else path)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def choose(self, person: Person | None, **query: str) -> str:
        """Begin, and choose an account; the address to which the provider sends the browser."""
        callback = await self.provider.choose(await self.leave(**query), person)
        assert callback.startswith(f"{PUBLIC_URL}{OAUTH}/{self.name}/callback?")
        return callback.removeprefix(PUBLIC_URL)

    async def sign_in(self, person: Person | None, **query: str) -> httpx.Response:
        """All of it."""
        return await self.get(await self.choose(person, **query))

    async def account(self) -> dict[str, Any]:
        """The account of who is logged in, by the cookie."""
        headers = await self.bearer()
        answer = await self.api.get("/api/v1/users/me", headers=headers)
        assert answer.status_code == 200, answer.text
        account: dict[str, Any] = answer.json()
        return account

    async def bearer(self) -> dict[str, str]:
        """An access token for the cookie."""
        headers = {
            "X-Easel-Browser": "1",
            "Cookie": f"{REFRESH_COOKIE}={self.cookies[REFRESH_COOKIE]}",
        }
        answer = await self.api.post("/api/v1/auth/refresh", headers=headers)
        assert answer.status_code == 200, answer.text
        (line,) = answer.headers.get_list("set-cookie")
        self.cookies[REFRESH_COOKIE] = SimpleCookie(line)[REFRESH_COOKIE].value
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def with_query(url: str, **changes: str | None) -> str:
    """The address with parts of its query changed, or left out (None)."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    kept = {name: value for name, value in {**query, **changes}.items() if value is not None}
    return urlunsplit(parts._replace(query=urlencode(kept)))


def error_of(answer: httpx.Response) -> str:
    """The slug that a browser is sent to the log-in page with."""
    assert answer.status_code == 303, answer.text
    path, _, error = answer.headers["location"].partition("?error=")
    assert path == "/log-in"
    return str(error)
