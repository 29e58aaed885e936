"""Public keys of the user service, fetched as JWKS, cached, refreshed when a new key appears."""

import time

import httpx
import jwt

from libs.auth.principals import Principal
from libs.auth.tokens import InvalidToken, key_id_of, verify_access_token
from libs.kernel.problems import ServiceUnavailable

REFRESH_SECONDS = 300.0
RETRY_SECONDS = 5.0  # an unknown key id asks for new keys at most this often


class TokenVerifier:
    """Verifies access tokens with the issuer's published keys."""

    def __init__(self, jwks_url: str, issuer: str, http: httpx.AsyncClient) -> None:
        self.jwks_url, self.issuer, self.http = jwks_url, issuer, http
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = -REFRESH_SECONDS

    async def verify(self, token: str) -> Principal:
        """The token's principal. Raises InvalidToken; ServiceUnavailable without any keys."""
        key = await self._key(key_id_of(token))
        return verify_access_token(token, key, issuer=self.issuer)

    async def _key(self, key_id: str) -> jwt.PyJWK:
        age = time.monotonic() - self._fetched_at
        if age > REFRESH_SECONDS or (key_id not in self._keys and age > RETRY_SECONDS):
            await self._fetch()
        if key_id not in self._keys:
            raise InvalidToken("signed with an unknown key")
        return self._keys[key_id]

    async def _fetch(self) -> None:
        try:
            answer = (await self.http.get(self.jwks_url)).raise_for_status()
            keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        except (httpx.HTTPError, jwt.PyJWTError, ValueError) as error:
            if self._keys:
                return  # known keys stay good while the issuer is away
            raise ServiceUnavailable("The token issuer does not answer") from error
        self._keys = {str(key.key_id): key for key in keys}
        self._fetched_at = time.monotonic()
