"""The bridge from Celery's threads to asyncio: one event loop a process, in a thread of its own.

Connection pools belong to one loop; every task of the process shares this one.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class AsyncBridge:
    """Runs coroutines for synchronous callers on one background event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="async-bridge", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end and answer or raise; blocks the calling thread, not the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Run beside everything else, until the process ends."""
        asyncio.run_coroutine_threadsafe(work, self.loop)
