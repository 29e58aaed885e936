"""Which sign-in providers this deployment offers, and what a provider is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import SecretStr

ProviderName = Literal["google", "discord"]


@dataclass(frozen=True)
class Credentials:
    """How this platform is registered at a provider. `label` is what people read."""

    label: str
    client_id: str
    client_secret: SecretStr
    redirect_uri: str


@dataclass(frozen=True)
class Secrets:
    """What binds the answer of a provider to the question: `state` comes back with the browser,
    `nonce` in the ID token, `verifier` (PKCE, RFC 7636) is shown when the code is exchanged."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class ProviderAccount:
    """An account at a provider. `subject` is its key there for ever; an e-mail address is not."""

    subject: str
    email: str | None
    email_verified: bool
    name: str


class Provider(Protocol):
    """A sign-in provider. Both verbs raise ProviderUnavailable."""

    @property
    def credentials(self) -> Credentials: ...

    async def authorization_url(self, secrets: Secrets) -> str:
        """Where the browser goes to choose an account."""

    async def identify(self, code: str, secrets: Secrets) -> ProviderAccount:
        """Whose code this is. Raises SignInRefused if the answer cannot be trusted."""


Providers = Mapping[ProviderName, Provider]
