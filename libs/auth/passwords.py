"""Password hashes: argon2id with OWASP's first choice (19 MiB, 2 passes, 1 lane).

Hashing takes tens of milliseconds of CPU, so it runs in threads of its own, of which there are
few, at the lowest priority: a flood of logins waits for itself, and the event loop for nobody.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from libs.kernel.problems import ServiceUnavailable

P = ParamSpec("P")
R = TypeVar("R")
MEMORY_KIB = 19 * 1024
HASHER = PasswordHasher(time_cost=2, memory_cost=MEMORY_KIB, parallelism=1)
UNKNOWN_USER_HASH = HASHER.hash("the password of nobody")
THREADS = max(1, (os.cpu_count() or 2) // 2)
MAX_WAITING = 100  # about three seconds of one core; who comes later is asked to come back
LOWEST_PRIORITY = 19


class HashingLane:
    """The threads that hash, and how many hashes wait for them."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(THREADS, "argon2", initializer=step_back)
        self.waiting = 0

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Raises ServiceUnavailable (503) while more than a few seconds of work wait."""
        if self.waiting >= MAX_WAITING:
            raise ServiceUnavailable("Too many people log in at this moment")
        self.waiting += 1
        try:
            call = partial(work, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self.threads, call)
        finally:
            self.waiting -= 1


def step_back() -> None:
    """Give this thread the lowest priority; on Linux a priority is a thread's own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)


LANE = HashingLane()


async def hash_password(password: str) -> str:
    """The encoded argon2id hash (PHC string) of a password. Raises ServiceUnavailable (503)."""
    return await LANE.run(HASHER.hash, password)


async def verify_password(encoded: str | None, password: str) -> bool:
    """Whether the password is right. None (no such user) costs the same time and is never right.

    Raises ServiceUnavailable (503) while too many others wait.
    """
    matches = await LANE.run(matches_hash, encoded or UNKNOWN_USER_HASH, password)
    return matches and encoded is not None


def matches_hash(encoded: str, password: str) -> bool:
    """Whether a hash is that of a password; a broken hash is nobody's."""
    try:
        return HASHER.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(encoded: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return HASHER.check_needs_rehash(encoded)
