"""Google, or any OpenID provider: discovery, keys, and an ID token that is checked in full.

OpenID Connect Core 1.0, 3.1 (the code flow) and 3.1.3.7 (ID token validation); Discovery 1.0, 4.
"""

import time
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from libs.telemetry.logs import get_logger
from services.user.providers.code_exchange import (
    authorization_url,
    exchange_code,
    new_client,
    provider_answers,
)
from services.user.providers.offered import Credentials, ProviderAccount, Secrets
from services.user.providers.problems import SignInRefused

log = get_logger(__name__)
SCOPE = "openid email profile"
# Public-key signatures alone: `none` and the HMACs, whose secret could be a public key, are out.
ALGORITHMS = ("RS256", "ES256")
LEEWAY_SECONDS = 60
REFRESH_SECONDS = 3600.0
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class OpenIdProvider:
    """A provider that is known by its issuer; its document and keys are fetched when needed."""

    def __init__(self, credentials: Credentials, issuer: str, http: httpx.AsyncClient) -> None:
        self.credentials, self.issuer, self.http = credentials, issuer, http
        self._document: dict[str, str] = {}
        self._refresh_at = float("-inf")
        self._keys = KeySet([])

    async def authorization_url(self, secrets: Secrets) -> str:
        async with provider_answers():
            document = await self._discover()
            endpoint = document["authorization_endpoint"]
            # the nonce comes back in the signed token: a token of another sign-in shows
            more = {"nonce": secrets.nonce, "prompt": "select_account"}
            return await authorization_url(self.credentials, endpoint, SCOPE, secrets, **more)

    async def identify(self, code: str, secrets: Secrets) -> ProviderAccount:
        async with provider_answers():
            document = await self._discover()
            async with new_client(self.credentials, SCOPE) as client:
                token = await exchange_code(client, document["token_endpoint"], code, secrets)
            if not isinstance(token.get("id_token"), str):
                raise SignInRefused("The provider sent no ID token")
            signed = await self._decode(token["id_token"])
            claims = self._validated(signed, secrets.nonce, str(token.get("access_token")))
        return account_of(claims)

    async def _decode(self, id_token: str) -> jwt.Token:
        if key_id_of(id_token) not in {key.kid for key in self._keys.keys}:
            # the token came from the provider itself: nobody else can make us fetch
            self._keys = await self._fetch_keys()
        try:
            return jwt.decode(id_token, self._keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError) as error:
            raise refused(error) from None

    def _validated(self, signed: jwt.Token, nonce: str, access_token: str) -> dict[str, Any]:
        claims = CodeIDToken(
            signed.claims,
            signed.header,
            options={
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": self.credentials.client_id},
            },
            params={
                "nonce": nonce,
                "client_id": self.credentials.client_id,
                "access_token": access_token,
            },
        )
        try:
            claims.validate(leeway=LEEWAY_SECONDS)
        except JoseError as error:
            raise refused(error) from None
        return dict(claims)

    async def _discover(self) -> dict[str, str]:
        if time.monotonic() >= self._refresh_at:
            address = f"{self.issuer}/.well-known/openid-configuration"
            answer = (await self.http.get(address)).raise_for_status()
            self._document = checked_document(answer.json(), self.issuer)
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
        return self._document

    async def _fetch_keys(self) -> KeySet:
        document = await self._discover()
        answer = (await self.http.get(document["jwks_uri"])).raise_for_status()
        return KeySet.import_key_set(answer.json())


def checked_document(document: dict[str, Any], issuer: str) -> dict[str, str]:
    """The endpoints of a discovery document. Raises ValueError for one of another issuer, or
    whose endpoints are less safe than the issuer (Discovery 1.0, 4.3)."""
    if document["issuer"] != issuer:
        raise ValueError("the discovery document is of another issuer")
    scheme = urlsplit(issuer).scheme
    for name in ENDPOINTS:
        if urlsplit(document[name]).scheme != scheme:
            raise ValueError(f"{name} is not {scheme}")
    return {name: document[name] for name in ENDPOINTS}


def key_id_of(id_token: str) -> str:
    """The key that a token names, unverified. Raises SignInRefused."""
    try:
        return str(jws.extract_compact(id_token.encode()).headers()["kid"])
    except (JoseError, ValueError, KeyError) as error:
        raise refused(error) from None


def account_of(claims: dict[str, Any]) -> ProviderAccount:
    """The account that the claims describe. Raises SignInRefused without a subject."""
    subject, email = claims.get("sub"), claims.get("email")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise SignInRefused("The ID token names nobody")
    return ProviderAccount(
        subject=subject,
        email=email if isinstance(email, str) else None,
        email_verified=claims.get("email_verified") is True,
        name=str(claims.get("name") or ""),
    )


def refused(error: Exception) -> SignInRefused:
    """Why stays in the log."""
    log.warning("id_token_refused", reason=str(error))
    return SignInRefused("The provider's ID token is not valid")
