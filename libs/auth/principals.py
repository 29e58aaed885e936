"""Who makes a request."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Principal:
    """A verified caller: the tenant of every row that the request may touch.

    `key_id` is the API key that the caller used, if it was one.
    """

    user_id: UUID
    session_id: UUID
    role: str = "user"
    key_id: UUID | None = None
