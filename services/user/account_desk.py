"""What the account worker works with, made once in the composition root."""

from dataclasses import dataclass

import httpx

from libs.auth.signing_keys import SigningKeys
from libs.db.engine import Sessions
from libs.kernel.clock import Clock
from libs.privacy.owners import Owner, ServiceTokens
from libs.storage.objects import ObjectStore
from services.user.account_settings import AccountSettings


@dataclass(frozen=True)
class AccountDesk:
    """Sessions that log in as easel_account, the other services that hold personal data, the store
    of pictures and archives, and the time."""

    sessions: Sessions
    generation: Owner
    gallery: Owner
    models: Owner
    payment: Owner
    store: ObjectStore
    clock: Clock

    @property
    def owners(self) -> tuple[Owner, ...]:
        """All the others."""
        return (self.generation, self.gallery, self.models, self.payment)


def build_desk(
    settings: AccountSettings, sessions: Sessions, http: httpx.AsyncClient, clock: Clock
) -> AccountDesk:
    """The desk; nothing connects before it is used."""
    keys = SigningKeys(settings.signing_keys)
    tokens = ServiceTokens("user", settings.token_issuer, lambda: keys.current(clock()), clock)
    return AccountDesk(
        sessions=sessions,
        generation=Owner("generation", settings.generation_service_url, http, tokens),
        gallery=Owner("gallery", settings.gallery_service_url, http, tokens),
        models=Owner("model", settings.model_service_url, http, tokens),
        payment=Owner("payment", settings.payment_service_url, http, tokens),
        store=ObjectStore(settings.storage),
        clock=clock,
    )
