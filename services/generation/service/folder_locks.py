"""Locks on files, between the processes and between the tasks of one machine.

A lock belongs to the file as it was opened: two of one process exclude each other, too, and a death
lets it go. The files stay, empty.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

LOCK_POLL_SECONDS = 0.5


@contextlib.contextmanager
def lock_now(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Nobody else holds the lock inside the block, or others share it. Raises BlockingIOError where
    that is not so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextlib.asynccontextmanager
async def lock_file(path: Path, *, shared: bool = False) -> AsyncIterator[None]:
    """The same, having waited for it."""
    with contextlib.ExitStack() as held:
        while True:
            with contextlib.suppress(BlockingIOError):
                held.enter_context(lock_now(path, shared=shared))
                break
            await asyncio.sleep(LOCK_POLL_SECONDS)
        yield
