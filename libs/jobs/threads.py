"""Celery's pool of threads, which tells the event loop when a thread is free again.

A thread cannot acknowledge its message itself: it leaves that to the event loop, which looks only
when something else happens, up to ten seconds later. Until then a worker whose threads were all
busy takes no message.
"""

import contextlib
import socket
from typing import Any

from celery.concurrency.thread import TaskPool


class ThreadPool(TaskPool):
    """Threads that each work on one message."""

    _bell: socket.socket | None = None

    def register_with_event_loop(self, hub: Any) -> None:
        """Called whenever the worker has connected to the broker."""
        ear, self._bell = socket.socketpair()
        for end in (ear, self._bell):
            end.setblocking(False)
        hub.add_reader(ear, ear.recv, 4096)

    def on_apply(self, *arguments: Any, **more: Any) -> Any:
        """Start the work of a message in a thread."""
        result = super().on_apply(*arguments, **more)
        result.f.add_done_callback(self._ring)
        return result

    def _ring(self, _done: object) -> None:
        if self._bell is not None:
            with contextlib.suppress(OSError):  # full: it rings already
                self._bell.send(b"!")
