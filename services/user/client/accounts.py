"""The user service's door: the account of whoever is calling."""

from uuid import UUID

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from libs.kernel.problems import ServiceUnavailable, Unauthorized

TIMEOUT_SECONDS = 5.0


class OwnAccount(BaseModel):
    """What other services may know of a caller, because the caller asks them to."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    email: str
    display_name: str


class Accounts:
    """Reads accounts with the caller's own token: no service may look up anybody else."""

    def __init__(self, base_url: str, http: httpx.AsyncClient) -> None:
        self.base_url, self.http = base_url.rstrip("/"), http

    async def read_own(self, authorization: str) -> OwnAccount:
        """The account of the `Authorization` header's owner; a network call.

        Raises Unauthorized if the account is gone, ServiceUnavailable without an answer.
        """
        try:
            answer = await self.http.get(
                f"{self.base_url}/api/v1/users/me",
                headers={"Authorization": authorization},
                timeout=TIMEOUT_SECONDS,
            )
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                raise Unauthorized("The account does not exist any more")
            return OwnAccount.model_validate_json(answer.raise_for_status().content)
        except (httpx.HTTPError, ValidationError) as error:
            raise ServiceUnavailable("The user service does not answer") from error
