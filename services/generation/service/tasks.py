"""Ending an asyncio task for good."""

import asyncio
from typing import Any

CANCEL_AGAIN_SECONDS = 0.2


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended.

    Once is not enough: `asyncio.wait_for` of Python 3.11 drops a cancellation that arrives just as
    its work is done, and the Redis client sends through it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)
