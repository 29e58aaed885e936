"""Password hashes: argon2id with OWASP's first choice (19 MiB, 2 passes, 1 lane).

Hashing takes tens of milliseconds of CPU, so it runs in a thread of its own, never on the loop.
"""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MEMORY_KIB = 19 * 1024
HASHER = PasswordHasher(time_cost=2, memory_cost=MEMORY_KIB, parallelism=1)
UNKNOWN_USER_HASH = HASHER.hash("the password of nobody")


async def hash_password(password: str) -> str:
    """The encoded argon2id hash (PHC string) of a password."""
    return await asyncio.to_thread(HASHER.hash, password)


async def verify_password(encoded: str | None, password: str) -> bool:
    """Whether the password is right. None (no such user) costs the same time and is never right."""
    matches = await asyncio.to_thread(_verify, encoded or UNKNOWN_USER_HASH, password)
    return matches and encoded is not None


def _verify(encoded: str, password: str) -> bool:
    try:
        return HASHER.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(encoded: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return HASHER.check_needs_rehash(encoded)
