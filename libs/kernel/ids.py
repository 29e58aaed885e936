"""Identifiers that sort by time of creation: UUID version 7 (RFC 9562, section 5.7)."""

import hashlib
import os
import time
from uuid import UUID


def new_id() -> UUID:
    """A fresh UUIDv7: Unix milliseconds, 12 bits of their fraction (244 ns), 62 random bits.

    The fraction (RFC 9562, section 6.2, method 3) orders what one machine makes in a millisecond.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    return _version_7(milliseconds, nanoseconds * 4096 // 1_000_000, os.urandom(8))


def derive_id(parent: UUID, index: int) -> UUID:
    """The id of the `index`-th thing made from `parent`: always the same, and it sorts with it.

    The time is the parent's; the random bits are a SHA-256 of parent and index.
    """
    digest = hashlib.sha256(parent.bytes + index.to_bytes(4, "big")).digest()
    return _version_7(parent.int >> 80, parent.int >> 64 & 0xFFF, digest[:8])


def _version_7(milliseconds: int, fraction: int, random: bytes) -> UUID:
    low = int.from_bytes(random, "big") & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | low)
