"""The authorization code flow with PKCE, spoken by Authlib (RFC 6749, RFC 7636)."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc.errors import JoseError

from libs.telemetry.logs import get_logger
from services.user.providers.offered import Credentials, Secrets
from services.user.providers.problems import ProviderUnavailable, SignInRefused

log = get_logger(__name__)
TIMEOUT_SECONDS = 5.0
# RFC 6749, 5.2: these speak of our registration, which nobody at a browser can mend.
OUR_FAULT = ("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope")


@cache
def trusted_authorities() -> ssl.SSLContext:
    """Loaded once: it takes longer than a whole sign-in."""
    return httpx.create_ssl_context()


def new_client(credentials: Credentials, scope: str) -> AsyncOAuth2Client:
    """A client of one sign-in: it remembers the token of whom it served."""
    return AsyncOAuth2Client(
        credentials.client_id,
        credentials.client_secret.get_secret_value(),
        scope=scope,
        redirect_uri=credentials.redirect_uri,
        code_challenge_method="S256",
        timeout=TIMEOUT_SECONDS,
        verify=trusted_authorities(),
    )


@asynccontextmanager
async def provider_answers() -> AsyncIterator[None]:
    """Translates how a provider fails: ProviderUnavailable or SignInRefused."""
    try:
        yield
    except OAuthError as error:
        log.warning("sign_in_refused", error=error.error)
        if error.error in OUR_FAULT:
            raise ProviderUnavailable() from None
        raise SignInRefused("The provider did not take the code") from None
    except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
        # no JSON, or JSON of another shape, is an answer of something that stands in between
        log.warning("provider_unavailable", error=repr(error))
        raise ProviderUnavailable() from None


async def authorization_url(
    credentials: Credentials, endpoint: str, scope: str, secrets: Secrets, **more: str
) -> str:
    """The address of the provider's page."""
    async with new_client(credentials, scope) as client:
        url, _ = client.create_authorization_url(
            endpoint, state=secrets.state, code_verifier=secrets.verifier, **more
        )
    return str(url)


async def exchange_code(
    client: AsyncOAuth2Client, endpoint: str, code: str, secrets: Secrets
) -> dict[str, Any]:
    """The tokens for a code. Raises OAuthError, httpx.HTTPError."""
    token: dict[str, Any] = await client.fetch_token(
        endpoint, grant_type="authorization_code", code=code, code_verifier=secrets.verifier
    )
    return token
