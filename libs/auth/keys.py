"""Public keys of the user service, fetched as JWKS, cached, refreshed when a new key appears.

A signature that was right once is not checked again: a verified access token is remembered until
it expires, or until its key is no longer published.
"""

import asyncio
import time

import httpx
import jwt

from libs.auth.principals import Principal
from libs.auth.service_tokens import SERVICE_TOKEN_TYPE, verify_service_token
from libs.auth.tokens import InvalidToken, key_id_of, verify_access_token
from libs.kernel.problems import ServiceUnavailable

REFRESH_SECONDS = 300.0
RETRY_SECONDS = 5.0  # for an unknown key id, or while the issuer is away, no more often than this
MAX_VERIFIED = 10_000
MAX_TOKEN_LENGTH = 4096


class TokenVerifier:
    """Verifies tokens with the issuer's published keys."""

    def __init__(
        self,
        jwks_url: str,
        issuer: str,
        http: httpx.AsyncClient,
        *,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self.jwks_url, self.issuer, self.http = jwks_url, issuer, http
        self.refresh_seconds = refresh_seconds
        self._keys: dict[str, jwt.PyJWK] = {}
        self._verified: dict[str, tuple[Principal, float]] = {}
        self._refresh_at = self._retry_at = time.monotonic()
        self._fetching = asyncio.Lock()

    async def verify(self, token: str) -> Principal:
        """An access token's principal. Raises InvalidToken; ServiceUnavailable without keys."""
        known = self._verified.get(token)
        if known and time.time() < known[1] and time.monotonic() < self._refresh_at:
            return known[0]
        key = await self._key(key_id_of(bounded(token)))
        principal, expires_at = verify_access_token(token, key, issuer=self.issuer)
        if len(self._verified) >= MAX_VERIFIED:
            self._verified.clear()
        self._verified[token] = (principal, expires_at.timestamp())
        return principal

    async def verify_service(
        self, token: str, *, audience: str, callers: tuple[str, ...]
    ) -> Principal:
        """The user for whom a service asks. Raises InvalidToken; ServiceUnavailable."""
        key = await self._key(key_id_of(bounded(token), SERVICE_TOKEN_TYPE))
        return verify_service_token(
            token, key, issuer=self.issuer, audience=audience, callers=callers
        )

    async def _key(self, key_id: str) -> jwt.PyJWK:
        is_known = key_id in self._keys
        if self._is_due(key_id) and not (is_known and self._fetching.locked()):
            async with self._fetching:
                if self._is_due(key_id):
                    await self._fetch()
        if not self._keys:
            raise ServiceUnavailable("The token issuer does not answer")
        if key_id not in self._keys:
            raise InvalidToken("signed with an unknown key")
        return self._keys[key_id]

    def _is_due(self, key_id: str) -> bool:
        return time.monotonic() >= (self._refresh_at if key_id in self._keys else self._retry_at)

    async def _fetch(self) -> None:
        try:
            answer = (await self.http.get(self.jwks_url)).raise_for_status()
            keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        except (httpx.HTTPError, jwt.PyJWTError, ValueError):
            # Known keys stay good while the issuer is away.
            self._refresh_at = self._retry_at = time.monotonic() + RETRY_SECONDS
            return
        fetched = {str(key.key_id): key for key in keys}
        if not self._keys.keys() <= fetched.keys():
            self._verified.clear()  # a key is gone: what it signed holds no more
        self._keys = fetched
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._refresh_at = time.monotonic() + self.refresh_seconds


def bounded(token: str) -> str:
    """The token, unless it is far too long to be ours. Raises InvalidToken."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidToken("longer than any token")
    return token
