"""How often somebody may try to log in, or have a letter sent: refused while nothing can count.

A guesser is slowed by address (one password over many accounts), by account (many addresses, one
account) and by both (which is reached first, so that one guesser does not lock the owner out).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from libs.web.client_addresses import client_address
from libs.web.rate_limits import Limit, RateLimiter
from services.user.settings import UserSettings

QUARTER_HOUR = 15 * 60
HOUR = 60 * 60


@dataclass(frozen=True)
class Throttles:
    """Counts for one request's address. All raise RateLimited (429), ServiceUnavailable (503)."""

    limiter: RateLimiter
    settings: UserSettings
    address: str

    async def count_login(self, email: str) -> None:
        """A password is tried on an account, known or not."""
        given, account = self.settings, account_of(email)
        await self._take(
            (Limit("login-address", given.logins_per_address, QUARTER_HOUR), self.address),
            (of_account("login-account", given.logins_per_account, QUARTER_HOUR), account),
            (
                Limit("login-both", given.logins_per_account_and_address, QUARTER_HOUR),
                f"{account} {self.address}",
            ),
        )

    async def count_letter(self, email: str) -> None:
        """A letter is asked for: by registering, or for a forgotten password."""
        given = self.settings
        await self._take(
            (Limit("letter-address", given.letters_per_address, HOUR), self.address),
            (of_account("letter-account", given.letters_per_account, HOUR), account_of(email)),
        )

    async def count_token(self) -> None:
        """A token of an e-mail is tried; with it may come a password."""
        limit = Limit("login-address", self.settings.logins_per_address, QUARTER_HOUR)
        await self._take((limit, self.address))

    async def count_refresh(self) -> None:
        """A refresh token is tried."""
        limit = Limit("refresh-address", self.settings.refreshes_per_address, QUARTER_HOUR)
        await self._take((limit, self.address))

    async def _take(self, *wanted: tuple[Limit, str]) -> None:
        counted: Sequence[tuple[Limit, str]] = wanted
        await self.limiter.take(counted, when_away="refuse")


def of_account(name: str, requests: int, seconds: int) -> Limit:
    """A limit that answers do not tell of: it would say that somebody else uses the address."""
    return Limit(name, requests, seconds, is_told=False)


def account_of(email: str) -> str:
    """How an account is counted, whether it exists or not: no address leaves the service."""
    return hashlib.sha256(email.encode()).hexdigest()


def throttles_of(request: Request) -> Throttles:
    """The throttles of this request."""
    state = request.app.state
    return Throttles(state.rate_limiter, state.settings, client_address(request))


CurrentThrottles = Annotated[Throttles, Depends(throttles_of)]
