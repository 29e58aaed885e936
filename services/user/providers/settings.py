"""Settings of the sign-in providers; one whose client id is not set is not offered."""

from typing import Self

import httpx
from pydantic import SecretStr, model_validator

from libs.kernel.settings import Settings
from services.user.providers.discord import DiscordProvider
from services.user.providers.offered import Credentials, Provider, ProviderName
from services.user.providers.openid import OpenIdProvider

NOTHING = SecretStr("")


class ProviderSettings(Settings):
    """`public_url` is the origin that people see: providers send them back to it.

    `EASEL_GOOGLE_ISSUER` names another OpenID provider, `EASEL_DISCORD_BASE_URL` another Discord.
    """

    public_url: str
    google_client_id: str = ""
    google_client_secret: SecretStr = NOTHING
    google_issuer: str = "https://accounts.google.com"
    google_label: str = "Google"
    discord_client_id: str = ""
    discord_client_secret: SecretStr = NOTHING
    discord_base_url: str = "https://discord.com"
    discord_label: str = "Discord"

    @model_validator(mode="after")
    def secrets_belong_to_ids(self) -> Self:
        for name in ("google", "discord"):
            secret: SecretStr = getattr(self, f"{name}_client_secret")
            if bool(getattr(self, f"{name}_client_id")) != bool(secret.get_secret_value()):
                variable = f"EASEL_{name.upper()}_CLIENT"
                raise ValueError(f"{variable}_ID and {variable}_SECRET belong together")
        return self


def build_providers(
    settings: ProviderSettings, http: httpx.AsyncClient
) -> dict[ProviderName, Provider]:
    """The providers that are offered; `http` fetches what is public."""
    offered: dict[ProviderName, Provider] = {}
    if settings.google_client_id:
        google = Credentials(
            settings.google_label,
            settings.google_client_id,
            settings.google_client_secret,
            callback_url(settings, "google"),
        )
        offered["google"] = OpenIdProvider(google, settings.google_issuer, http)
    if settings.discord_client_id:
        discord = Credentials(
            settings.discord_label,
            settings.discord_client_id,
            settings.discord_client_secret,
            callback_url(settings, "discord"),
        )
        offered["discord"] = DiscordProvider(discord, settings.discord_base_url)
    return offered


def callback_url(settings: ProviderSettings, provider: ProviderName) -> str:
    """The address that is registered at a provider."""
    return f"{settings.public_url}/api/v1/auth/oauth/{provider}/callback"
