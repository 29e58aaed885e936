"""API keys: 256 random bits behind `ek_`, known to the platform by their SHA-256 alone.

The last eight characters are a checksum, so that a mistyped or invented key costs no query, and a
leaked one is easy for scanners to find.
"""

import hashlib
import secrets
import time
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal, Scope
from libs.auth.tokens import InvalidToken
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.tiers.catalogue import DEFAULT_TIER, TierName, load_catalogue
from libs.tiers.gates import require_api_keys

KEY_PREFIX = "ek_"
SECRET_BYTES = 32
CHECKSUM_LENGTH = 8
SHOWN_LENGTH = len(KEY_PREFIX) + 6
CACHE_SECONDS = 2.0  # how long an ended key may still be taken by a process that knew it
MAX_CACHED = 10_000
FIND = text("SELECT * FROM ops.find_api_key(:key_hash)")
END_ALL = text(
    "UPDATE ops.api_keys SET ended_at = :now WHERE user_id = :user_id AND ended_at IS NULL"
)


@dataclass(frozen=True)
class FoundKey:
    """A key that may be used, and until when; None: until it is ended."""

    principal: Principal
    expires_at: datetime | None


def make_api_key() -> str:
    """A new key; shown once, to its owner."""
    secret = KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    return secret + checksum_of(secret)


def checksum_of(secret: str) -> str:
    """CRC-32 in hex: against typing errors, not against attackers."""
    return f"{zlib.crc32(secret.encode()):08x}"


def is_well_formed(key: str) -> bool:
    """Whether a text can be one of our keys."""
    secret, checksum = key[:-CHECKSUM_LENGTH], key[-CHECKSUM_LENGTH:]
    return key.startswith(KEY_PREFIX) and key.isascii() and checksum_of(secret) == checksum


def hash_api_key(key: str) -> bytes:
    """What is stored of a key. It is random, so one fast hash is enough."""
    return hashlib.sha256(key.encode()).digest()


async def end_keys_of(session: AsyncSession, user_id: UUID, *, now: datetime) -> None:
    """End all keys of the tenant."""
    await session.execute(END_ALL, {"user_id": user_id, "now": now})


class ApiKeys:
    """Verifies keys; what was found is remembered for two seconds."""

    def __init__(self, sessions: Sessions, *, cache_seconds: float = CACHE_SECONDS) -> None:
        self.sessions, self.cache_seconds = sessions, cache_seconds
        self._known: dict[bytes, tuple[float, FoundKey]] = {}

    async def verify(self, key: str) -> Principal:
        """Whose key this is, with its scopes.

        Raises InvalidToken, and TierRequired (403) when the owner's plan has no API keys.
        """
        if not is_well_formed(key):
            raise InvalidToken("not an API key")
        key_hash = hash_api_key(key)
        found = self._remembered(key_hash) or await self._find(key_hash)
        if found.expires_at is not None and found.expires_at.timestamp() <= time.time():
            raise InvalidToken("the API key has expired")
        require_api_keys(load_catalogue().tier(found.principal.tier))
        return found.principal

    def _remembered(self, key_hash: bytes) -> FoundKey | None:
        until, found = self._known.get(key_hash, (0.0, None))
        return found if time.monotonic() < until else None

    async def _find(self, key_hash: bytes) -> FoundKey:
        async with transaction(self.sessions) as session:
            row = (await session.execute(FIND, {"key_hash": key_hash})).one_or_none()
        if row is None:
            self._known.pop(key_hash, None)
            raise InvalidToken("unknown or ended API key")
        principal = Principal(
            user_id=row.user_id,
            key_id=row.key_id,
            scopes=frozenset(cast("list[Scope]", row.scopes)),
            tier=cast("TierName", row.tier or DEFAULT_TIER),
        )
        found = FoundKey(principal, row.expires_at)
        if len(self._known) >= MAX_CACHED:
            self._known.clear()
        self._known[key_hash] = (time.monotonic() + self.cache_seconds, found)
        return found
