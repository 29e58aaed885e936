"""Public keys of the user service, fetched as JWKS, cached, refreshed when a new key appears."""

import asyncio
import time

import httpx
import jwt

from libs.auth.principals import Principal
from libs.auth.tokens import InvalidToken, key_id_of, verify_access_token
from libs.kernel.problems import ServiceUnavailable

REFRESH_SECONDS = 300.0
RETRY_SECONDS = 5.0  # for an unknown key id, or while the issuer is away, no more often than this


class TokenVerifier:
    """Verifies access tokens with the issuer's published keys."""

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
        self._refresh_at = self._retry_at = time.monotonic()
        self._fetching = asyncio.Lock()

    async def verify(self, token: str) -> Principal:
        """The token's principal. Raises InvalidToken; ServiceUnavailable without any keys."""
        key = await self._key(key_id_of(token))
        return verify_access_token(token, key, issuer=self.issuer)

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
        self._keys = {str(key.key_id): key for key in keys}
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._refresh_at = time.monotonic() + self.refresh_seconds
