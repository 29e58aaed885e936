"""Who is at the engine, and how an engine that died or hangs is mended.

When an engine dies, everybody who was drawing is a suspect and nobody is convicted: a suspect draws
alone the next time.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import time
from collections.abc import AsyncIterator, Sequence

from prometheus_client import Counter, Gauge

from libs.telemetry.logs import get_logger
from libs.triton.client import TritonClient
from libs.triton.errors import EngineStalled, Retryable, ServerDraining, TritonError

log = get_logger(__name__)
RELOAD_SECONDS = 150.0  # unload and load, each up to 60 seconds, and a sign of life
COMMAND_SECONDS = 60.0
RESTART_PAUSE_SECONDS = 60.0
MAX_RELOADS = 3  # engines that die one after another, and nothing drawn in between
WATCH_SECONDS = 10.0
mends = Counter("easel_engine_mends_total", "Engines that were mended", ("how",))
for how in ("reloaded", "restarted", "restart failed"):
    mends.labels(how)
broken = Gauge("easel_engine_broken", "1 while the engine neither draws nor could be mended")


class Places:
    """Jobs draw side by side; a suspect draws alone."""

    def __init__(self) -> None:
        self._inside = 0
        self._suspects = 0  # inside or at the door
        self._changed = asyncio.Event()

    @property
    def are_open(self) -> bool:
        """Whether another job may come: while a suspect is here, none."""
        return self._suspects == 0

    @property
    def are_empty(self) -> bool:
        return self._inside == 0

    @contextlib.asynccontextmanager
    async def take(self, *, alone: bool) -> AsyncIterator[None]:
        """A place at the engine, once there is one."""
        self._suspects += alone
        try:
            while not (self.are_empty if alone else self.are_open):
                await self._changed.wait()
            self._inside += 1
            try:
                yield
            finally:
                self._inside -= 1
        finally:
            self._suspects -= alone
            self._changed.set()
            self._changed = asyncio.Event()


class Watchdog:
    """Mends the engine: loads it anew, and where that does not help has Triton restarted.

    `restart_command` does that on this machine, within `command_seconds`; without one whoever
    probes Triton has to.
    """

    def __init__(
        self,
        triton: TritonClient,
        restart_command: str = "",
        *,
        command_seconds: float = COMMAND_SECONDS,
    ) -> None:
        self._triton = triton
        self._command = shlex.split(restart_command)
        self._command_seconds = command_seconds
        self._mending = asyncio.Lock()
        self._reloads = 0
        self._restarted_at = float("-inf")

    @property
    def is_mending(self) -> bool:
        """Whether nothing should be sent to the engine now."""
        return self._mending.locked()

    def note_picture(self) -> None:
        """The engine has drawn something."""
        self._reloads = 0
        broken.set(0)

    async def mend(self) -> None:
        """Make the engine work again, unless somebody has done so meanwhile. Raises nothing."""
        async with self._mending:
            try:
                async with asyncio.timeout(RELOAD_SECONDS):
                    if not await self._triton.reload():
                        broken.set(0)
                        return
            except (TritonError, TimeoutError) as error:
                log.error("engine_not_reloaded", error=repr(error))
            else:
                self._reloads += 1
                if self._reloads < MAX_RELOADS:
                    log.warning("engine_reloaded", times=self._reloads)
                    mends.labels("reloaded").inc()
                    broken.set(0)
                    return
            await self._restart()

    async def _restart(self) -> None:
        broken.set(1)
        if not self._command or time.monotonic() < self._restarted_at + RESTART_PAUSE_SECONDS:
            return
        self._restarted_at, self._reloads = time.monotonic(), 0
        log.error("triton_is_restarted", command=self._command[0])
        try:
            code = await run_command(self._command, self._command_seconds)
        except (OSError, TimeoutError) as error:
            log.error("triton_not_restarted", error=repr(error))
            code = None
        mends.labels("restarted" if code == 0 else "restart failed").inc()

    async def watch_forever(self, places: Places) -> None:
        """Look after an engine that nobody draws with: who draws notices it anyway."""
        times_unloaded = 0
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if places.are_empty and not self.is_mending:
                times_unloaded = await self.look(times_unloaded)

    async def look(self, times_unloaded: int) -> int:
        """Mend what is broken; how often, one after another, Triton had no engine loaded.

        Once may be a start or an end. A Triton that cannot be asked is for others to start.
        """
        try:
            works = await self._triton.is_alive()
        except ServerDraining:
            works, times_unloaded = times_unloaded == 0, times_unloaded + 1
        except EngineStalled:
            works = False
        except TritonError:
            return 0
        else:
            times_unloaded = 0
        if works:
            if times_unloaded == 0:  # else it is only not convicted yet
                broken.set(0)
            return times_unloaded
        await self.mend()
        return 0


async def require_engine(triton: TritonClient) -> None:
    """An engine that is dead before the drawing begins is nobody's fault. Raises TritonError."""
    try:
        lives = await triton.is_alive()
    except EngineStalled as error:
        raise Retryable("the engine hangs") from error
    if not lives:
        raise Retryable("the engine is dead")


async def run_command(command: Sequence[str], seconds: float) -> int:
    """Run a command to its end; its exit status. One that takes longer is killed with all that it
    started, so that no two of them are at work. Raises OSError, TimeoutError."""
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
