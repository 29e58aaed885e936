"""The user service's door to a service under test: what it exports and how it erases."""

from typing import Any
from uuid import UUID

import httpx

from libs.kernel.clock import utc_now
from libs.privacy.owners import Owner, ServiceTokens
from libs.testkit.tokens import ISSUER, TokenIssuer


def owner_of(api: httpx.AsyncClient, issuer: TokenIssuer, service: str) -> Owner:
    """A service, asked with tokens of the user service."""
    tokens = ServiceTokens("user", ISSUER, lambda: issuer.key, utc_now)
    return Owner(service, str(api.base_url), api, tokens)


async def exported(owner: Owner, user_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """Everything that a service exports of a user, by collection."""
    found: dict[str, list[dict[str, Any]]] = {}
    async for page in owner.export_pages(user_id):
        found.setdefault(page.collection, []).extend(item.data for item in page.items)
    return found
