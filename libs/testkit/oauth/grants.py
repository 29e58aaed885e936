"""The authorization code grant (RFC 6749, 4.1) with PKCE (RFC 7636), as both doubles have it."""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from libs.testkit.oauth.people import Person

CODE_SECONDS = 600.0  # RFC 6749, 4.1.2: ten minutes at most
VERIFIER_LENGTHS = range(43, 129)  # RFC 7636, 4.1


class Refused(Exception):
    """The token endpoint refuses: an `error` of RFC 6749, 5.2, and a sentence."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


class BadRequest(Exception):
    """The authorization request cannot be answered by a redirect (RFC 6749, 4.1.2.1)."""


@dataclass(frozen=True)
class Client:
    """The one application that is registered at a double."""

    client_id: str
    client_secret: str
    redirect_uri: str


@dataclass(frozen=True)
class Asked:
    """What the application asked for at the authorization endpoint."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    nonce: str
    challenge: str
    method: str


@dataclass
class Grant:
    """A code that was given out: to whom, for what, and whether it was exchanged."""

    asked: Asked
    person: Person
    expires_at: float
    access_token: str = ""


@dataclass
class Grants:
    """Codes and access tokens of a double. `calls` are the requests to both endpoints."""

    client: Client
    code_seconds: float = CODE_SECONDS
    codes: dict[str, Grant] = field(default_factory=dict)
    tokens: dict[str, Grant] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def give(self, asked: Asked, person: Person) -> str:
        """A fresh code for what was asked."""
        code = secrets.token_urlsafe(24)
        self.codes[code] = Grant(asked, person, time.monotonic() + self.code_seconds)
        return code

    def redeem(self, form: Mapping[str, str]) -> Grant:
        """The grant behind a code, with an access token. Raises Refused."""
        if form.get("grant_type") != "authorization_code":
            raise Refused("unsupported_grant_type", "Only authorization_code is known here")
        grant = self.codes.get(form.get("code", ""))
        if grant is None or time.monotonic() > grant.expires_at:
            raise Refused("invalid_grant", 'Invalid "code" in request.')
        if grant.access_token:
            # RFC 6749, 4.1.2: a second use also ends what the first one gave
            self.tokens.pop(grant.access_token, None)
            raise Refused("invalid_grant", 'Invalid "code" in request.')
        if form.get("redirect_uri") != grant.asked.redirect_uri:
            raise Refused("invalid_grant", "The redirect_uri is not that of the code")
        check_verifier(grant.asked, form.get("code_verifier", ""))
        grant.access_token = secrets.token_urlsafe(24)
        self.tokens[grant.access_token] = grant
        return grant

    def holder(self, authorization: str) -> Grant | None:
        """Whose bearer token this `Authorization` header carries."""
        scheme, _, token = authorization.partition(" ")
        return self.tokens.get(token) if scheme.lower() == "bearer" else None


def check_verifier(asked: Asked, verifier: str) -> None:
    """Raises Refused unless the verifier belongs to the challenge (RFC 7636, 4.6)."""
    if not asked.challenge:
        return
    if not verifier:
        raise Refused("invalid_request", 'Missing "code_verifier"')
    digest = hashlib.sha256(verifier.encode()).digest()
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    given = expected if asked.method == "S256" else verifier
    if len(verifier) not in VERIFIER_LENGTHS or given != asked.challenge:
        raise Refused("invalid_grant", 'Invalid "code_verifier"')


def check_client(client: Client, authorization: str, form: Mapping[str, str]) -> str:
    """How the application proved who it is: client_secret_basic or client_secret_post
    (RFC 6749, 2.3.1). Raises Refused."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "basic":
        name, _, secret = _decoded(encoded).partition(":")
        method = "client_secret_basic"
    else:
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        method = "client_secret_post"
    known = secrets.compare_digest(secret.encode(), client.client_secret.encode())
    if name != client.client_id or not known:
        raise Refused("invalid_client", "The OAuth client was not found.", 401)
    return method


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return ""


def read_asked(query: Mapping[str, str], client: Client, methods: tuple[str, ...]) -> Asked:
    """The request of the authorization endpoint. Raises BadRequest where the redirect itself
    cannot be trusted, and Refused where the application is told by a redirect."""
    if query.get("client_id") != client.client_id:
        raise BadRequest("The OAuth client was not found (invalid_client).")
    if query.get("redirect_uri") != client.redirect_uri:
        raise BadRequest("The redirect URI is not registered (redirect_uri_mismatch).")
    challenge = query.get("code_challenge", "")
    method = query.get("code_challenge_method", "plain" if challenge else "")
    if query.get("response_type") != "code":
        raise Refused("unsupported_response_type", "Only code is known here")
    if challenge and method not in methods:
        raise Refused("invalid_request", 'Unsupported "code_challenge_method"')
    scopes = tuple(query.get("scope", "").split())
    if not scopes:
        raise Refused("invalid_request", "Missing required parameter: scope")
    return Asked(
        client.client_id,
        client.redirect_uri,
        scopes,
        query.get("state", ""),
        query.get("nonce", ""),
        challenge,
        method,
    )
