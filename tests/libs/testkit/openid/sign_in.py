"""One sign-in at a double, step by step, as an application does it."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from libs.testkit.oauth.browser import ProviderClient
from libs.testkit.oauth.people import Person

GRACE = Person("grace@example.com", "Grace Hopper")
VERIFIER = "v" * 64


def challenge_of(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorize_url(provider: ProviderClient, path: str, **changes: str) -> str:
    """The address to which an application sends a browser."""
    query = {
        "response_type": "code",
        "client_id": provider.client.client_id,
        "redirect_uri": provider.client.redirect_uri,
        "scope": "openid email profile",
        "state": "s-1",
        "nonce": "n-1",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        **changes,
    }
    return f"{provider.base_url}{path}?{urlencode(query)}"


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def get_code(provider: ProviderClient, path: str, **changes: str) -> str:
    url = authorize_url(provider, path, **changes)
    return query_of(await provider.choose(url, GRACE))["code"]


async def exchange(
    provider: ProviderClient, path: str, code: str, /, *, basic: bool = False, **changes: str
) -> httpx.Response:
    """Ask the token endpoint, authenticated by the body or by HTTP Basic."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": provider.client.redirect_uri,
        "code_verifier": VERIFIER,
    }
    secrets = {
        "client_id": provider.client.client_id,
        "client_secret": provider.client.client_secret,
    }
    auth: Any = (secrets["client_id"], secrets["client_secret"]) if basic else None
    fields = {**form, **({} if basic else secrets), **changes}
    return await provider.http.post(path, data=fields, auth=auth)
