"""What the engine answers: JSON for the EVENT tensor, and the port through which it leaves.

`libs/triton/contract.py` states the same events for the services; a test compares the two.
"""

from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Event = dict[str, Any]


class Failure(StrEnum):
    """Why a request ends without a picture; the names are those of TritonError's codes."""

    INVALID_ARG = "INVALID_ARG"
    UNAVAILABLE = "UNAVAILABLE"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


class Sender(Protocol):
    """Where the answers to one request go. The engine calls it from its own thread alone."""

    def is_cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""

    def send(self, event: Event, preview: Picture | None = None) -> None:
        """An answer that more will follow; `preview` is [h, w, 3]."""

    def finish(self, event: Event, image: Picture) -> None:
        """The last answer; `image` is [height, width, 3]."""

    def fail(self, failure: Failure, message: str) -> None:
        """The last answer when there is no picture; `message` is for the request's author."""


def started() -> Event:
    return {"type": "started"}


def progress(step: int, steps: int) -> Event:
    return {"type": "progress", "step": step, "steps": steps}


def done(steps: int, seconds: dict[str, float]) -> Event:
    """`seconds` has `load` (of the model, 0 if it was there), `queue` (from then to the first
    step), `steps` (until the last one) and `decode`."""
    return {"type": "done", "steps": steps, "seconds": seconds}
