"""Who makes a request, and what an API key may be allowed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from libs.tiers.catalogue import DEFAULT_TIER, TierName

Role = Literal["user", "support", "admin"]
Scope = Literal[
    "account:read",
    "billing:read",
    "generations:read",
    "generations:write",
    "images:read",
    "images:write",
    "models:read",
    "models:write",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Principal:
    """A verified caller: the tenant of every row that the request may touch.

    Of a login: `session_id`, `role`, and when a password or a provider last proved who it is. Of
    an API key: `key_id` and its `scopes` (None: everything that the role may). `tier` is that of
    the token's issue, good enough for rate limits; what is paid for is read where it matters.
    """

    user_id: UUID
    session_id: UUID | None = None
    role: Role = "user"
    key_id: UUID | None = None
    scopes: frozenset[Scope] | None = None
    authenticated_at: datetime | None = None
    tier: TierName = DEFAULT_TIER
