"""Discord: OAuth 2.0 and a user object (Discord developer documentation, "OAuth2" and "User")."""

from typing import Any

from services.user.providers.code_exchange import (
    authorization_url,
    exchange_code,
    new_client,
    provider_answers,
)
from services.user.providers.offered import Credentials, ProviderAccount, Secrets

SCOPE = "identify email"
AUTHORIZE, TOKEN, USER = "/oauth2/authorize", "/api/v10/oauth2/token", "/api/v10/users/@me"


class DiscordProvider:
    """Discord at `base_url`. It signs nothing: who somebody is it says over TLS alone."""

    def __init__(self, credentials: Credentials, base_url: str) -> None:
        self.credentials, self.base_url = credentials, base_url

    async def authorization_url(self, secrets: Secrets) -> str:
        return await authorization_url(
            self.credentials, self.base_url + AUTHORIZE, SCOPE, secrets, prompt="consent"
        )

    async def identify(self, code: str, secrets: Secrets) -> ProviderAccount:
        async with provider_answers(), new_client(self.credentials, SCOPE) as client:
            await exchange_code(client, self.base_url + TOKEN, code, secrets)
            answer = (await client.get(self.base_url + USER)).raise_for_status()
            return account_of(answer.json())


def account_of(user: dict[str, Any]) -> ProviderAccount:
    """The account of a user object. Raises KeyError without an id."""
    email = user.get("email")
    return ProviderAccount(
        subject=str(user["id"]),
        email=email if isinstance(email, str) else None,
        email_verified=user.get("verified") is True,
        name=str(user.get("global_name") or user.get("username") or ""),
    )
