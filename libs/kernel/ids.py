"""Identifiers that sort by time of creation: UUID version 7 (RFC 9562, section 5.7)."""

import os
import time
from datetime import UTC, datetime
from uuid import UUID


def new_id() -> UUID:
    """A fresh UUIDv7: 48 bits of Unix milliseconds, 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def created_at(identifier: UUID) -> datetime:
    """When a UUIDv7 was made (UTC, to the millisecond)."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
