"""The door to the services that hold personal data: the user service asks, on behalf of a user."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

import httpx
from pydantic import ValidationError

from libs.auth.service_tokens import issue_service_token
from libs.auth.tokens import SigningKey
from libs.kernel.clock import Clock
from libs.privacy.contract import PREFIX, ExportPage, Waiting

# Longer than an owner works on one request; what is left is for the next one.
TIMEOUT_SECONDS = 30.0


class OwnerAway(Exception):
    """A service does not answer, or not what it should; asking again is harmless."""


@dataclass(frozen=True)
class ServiceTokens:
    """Tokens of one service for others: made anew for each call, since they live a minute."""

    service: str
    issuer: str
    signing_key: Callable[[], SigningKey]
    clock: Clock

    def token(self, audience: str, user_id: UUID) -> str:
        """A token for asking `audience` about one user."""
        return issue_service_token(
            self.signing_key(),
            issuer=self.issuer,
            service=self.service,
            audience=audience,
            user_id=user_id,
            now=self.clock(),
        )


class Owner:
    """One service that holds personal data. Its calls raise OwnerAway."""

    def __init__(
        self, name: str, base_url: str, http: httpx.AsyncClient, tokens: ServiceTokens
    ) -> None:
        self.name, self.base_url = name, base_url.rstrip("/")
        self.http, self.tokens = http, tokens

    async def export_pages(self, user_id: UUID) -> AsyncIterator[ExportPage]:
        """Everything that the service holds about a user, page by page."""
        cursor: str | None = None
        while True:
            answer = await self._call("GET", user_id, "/export", cursor)
            try:
                page = ExportPage.model_validate_json(answer.content)
            except ValidationError as error:
                raise OwnerAway(f"{self.name} answers no page") from error
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    async def erase(self, user_id: UUID) -> str | None:
        """Let go of a user's data. None: all is gone; else what the service waits for."""
        answer = await self._call("DELETE", user_id, "", None)
        if answer.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            return Waiting.model_validate_json(answer.content).waits_for
        except ValidationError as error:
            raise OwnerAway(f"{self.name} answers {answer.status_code}") from error

    async def _call(
        self, method: str, user_id: UUID, path: str, cursor: str | None
    ) -> httpx.Response:
        token = self.tokens.token(self.name, user_id)
        try:
            answer = await self.http.request(
                method,
                f"{self.base_url}{PREFIX.format(user_id=user_id)}{path}",
                params={"cursor": cursor} if cursor else None,
                headers={"Authorization": f"Bearer {token}"},
                timeout=TIMEOUT_SECONDS,
            )
            return answer.raise_for_status()
        except httpx.HTTPError as error:
            raise OwnerAway(f"{self.name}: {error!r}") from error
