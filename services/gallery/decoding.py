"""Runs the reader of pictures (`picture_files`) in a process of its own, with limits.

A file can make a decoder crash, loop or take all memory; here that costs one process, which has
no secrets in its environment and cannot hold up the service.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary

from libs.telemetry.logs import get_logger
from services.gallery.picture_files import REFUSED, Facts, Picture
from services.gallery.problems import ImageNotValid

log = get_logger(__name__)
SECONDS = 30.0
AT_ONCE = 2  # each takes a core and up to a gibibyte
MODULE = "services.gallery.picture_files"


class Decoder:
    """Reads pictures, a few at a time; who comes later waits for a place, with empty hands."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._places = asyncio.Semaphore(AT_ONCE)
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, user_id: UUID) -> AsyncIterator[None]:
        """A place to fetch and read one picture; a user has one, so that nobody takes all."""
        turn = self._turns.setdefault(user_id, asyncio.Lock())
        async with turn, self._places:
            yield

    async def read(self, data: bytes) -> Picture:
        """The picture in a file; the caller has a place. Raises ImageNotValid with the reason."""
        status, output = await self._run(data)
        if status == REFUSED:
            raise ImageNotValid(f"The file {output.decode(errors='replace')}")
        if status != 0:
            log.warning("picture_reader_ended", status=status, size_bytes=len(data))
            raise ImageNotValid("The file takes too much time or memory to decode")
        head, _, rest = output.partition(b"\n")
        facts = Facts(**json.loads(head))
        return Picture(facts, rest[: facts.size_bytes], rest[facts.size_bytes :])

    async def _run(self, data: bytes) -> tuple[int | None, bytes]:
        """Exit status, None if it took too long, and standard output."""
        paths = os.pathsep.join(path for path in sys.path if path)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.defpath, "PYTHONPATH": paths},
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(data), self.seconds)
            return process.returncode, output
        except TimeoutError:
            return None, b""
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
