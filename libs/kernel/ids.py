"""Identifiers that sort by time of creation: UUID version 7 (RFC 9562, section 5.7)."""

import hashlib
import os
import time
from uuid import UUID


def new_id() -> UUID:
    """A fresh UUIDv7: 48 bits of Unix milliseconds, 74 random bits."""
    return _version_7(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))


def derive_id(parent: UUID, index: int) -> UUID:
    """The id of the `index`-th thing made from `parent`: always the same, and it sorts with it.

    The milliseconds are the parent's; the random bits are a SHA-256 of parent and index.
    """
    digest = hashlib.sha256(parent.bytes + index.to_bytes(4, "big")).digest()
    return _version_7(parent.int >> 80, int.from_bytes(digest[:10], "big"))


def _version_7(milliseconds: int, random: int) -> UUID:
    value = milliseconds << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
