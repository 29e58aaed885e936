"""The model service's catalogue over HTTP, remembered for a while."""

import re
import time
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from libs.kernel.problems import ServiceUnavailable
from services.model.client.contracts import NAME_PATTERN, ModelInfo

RETRY_SECONDS = 5.0  # while the service is away, a stale model is used and asked for this often


@dataclass(frozen=True)
class Entry:
    """A model, and until when (monotonic seconds) it is believed without asking."""

    model: ModelInfo
    fresh_until: float


class ModelCatalogue:
    """Finds official models by slug or id; answers from memory while the service is away."""

    def __init__(
        self, base_url: str, http: httpx.AsyncClient, lifetime_seconds: float = 30.0
    ) -> None:
        self.base_url, self.http = base_url.rstrip("/"), http
        self.lifetime_seconds = lifetime_seconds
        self._entries: dict[str, Entry] = {}

    async def find(self, name: str) -> ModelInfo | None:
        """The model of that slug or id, or None if there is none.

        Raises ServiceUnavailable if the service is away and the model was never seen.
        """
        entry = self._entries.get(name)
        if entry and time.monotonic() < entry.fresh_until:
            return entry.model
        if not re.fullmatch(NAME_PATTERN, name):
            return None
        try:
            model, lifetime = await self._fetch(name), self.lifetime_seconds
        except (httpx.HTTPError, ValidationError) as error:
            if entry is None:
                raise ServiceUnavailable("The model catalogue does not answer") from error
            model, lifetime = entry.model, RETRY_SECONDS
        return self._remember(name, model, lifetime)

    async def _fetch(self, name: str) -> ModelInfo | None:
        answer = await self.http.get(f"{self.base_url}/internal/v1/models/{name}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return ModelInfo.model_validate_json(answer.raise_for_status().content)

    def _remember(self, name: str, model: ModelInfo | None, lifetime: float) -> ModelInfo | None:
        if model is None:
            self._entries.pop(name, None)
        else:
            self._entries[name] = Entry(model, time.monotonic() + lifetime)
        return model
