"""A thread that makes calls for the engine's thread, one after another, and reports each."""

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils import _pytree as pytree

from inference.runners.faults import AcceleratorLost, is_lost

Report = Callable[[Callable[[], None]], None]


class Worker:
    """`report` takes what the engine's thread has to do when a call has ended.

    With the same number of threads of its own for a tensor operation, a worker gives the same
    bytes as any other. On a GPU it has a stream of its own, so that its kernels need not wait for
    those of the others.
    """

    def __init__(self, name: str, threads: int, device: torch.device, report: Report) -> None:
        self._threads = threads
        self._device = device
        self._report = report
        self._stream: torch.cuda.Stream | None = None
        self._orders: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None]
        self._orders = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Have `work` done here, and `done` called by the engine's thread with what it returned
        or the Exception that it raised. If that says that the device is lost, AcceleratorLost is
        raised on the engine's thread instead."""
        self._orders.put((work, done))

    def stop(self) -> None:
        """End the thread after what it is doing."""
        self._orders.put(None)

    def join(self, seconds: float) -> None:
        """Wait for its end, but no longer than that: a load can take minutes."""
        self._thread.join(seconds)

    def _main(self) -> None:
        settle(self._threads, self._device)
        while (order := self._orders.get()) is not None:
            work, done = order
            try:
                answer = self._run(work)
            except Exception as error:  # noqa: BLE001 - the engine's thread deals with it
                answer = error
                done = _raise_lost if is_lost(error) else done
            self._report(partial(done, answer))
            # Tensors of the last order must not live until the next one comes.
            del order, work, done, answer

    def _run(self, work: Callable[[], Any]) -> Any:
        if self._device.type != "cuda":
            return work()
        usual = torch.cuda.default_stream(self._device)
        stream = self._stream = self._stream or torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(usual)
        with torch.cuda.stream(stream):
            answer = work()
        stream.synchronize()
        for leaf in pytree.tree_leaves(answer):
            if isinstance(leaf, torch.Tensor) and leaf.is_cuda:
                leaf.record_stream(usual)  # where the pictures go on with it
        return answer


def settle(threads: int, device: torch.device) -> None:
    """What a thread of the engine does first: take so many threads of its own for a tensor
    operation, and the engine's device for whatever names none."""
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)


def _raise_lost(error: Exception) -> None:
    raise AcceleratorLost(str(error)) from error
