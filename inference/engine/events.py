"""What the engine answers: JSON for the EVENT tensor, and the port through which it leaves.

`libs/triton/contract.py` states the same events for the services; a test compares the two.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Event = dict[str, Any]
NONE: Mapping[str, Any] = MappingProxyType({})


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

    def send(self, event: Event, preview: Picture | None = None, checkpoint: bytes = b"") -> None:
        """An answer that more will follow; `preview` is [h, w, 3]."""

    def finish(self, event: Event, image: Picture | None = None) -> None:
        """The last answer; `image` is [height, width, 3], None after an operation."""

    def fail(self, failure: Failure, message: str) -> None:
        """The last answer when there is no picture; `message` is for the request's author."""


def started() -> Event:
    return {"type": "started"}


def progress(step: int, steps: int) -> Event:
    return {"type": "progress", "step": step, "steps": steps}


def paused(step: int) -> Event:
    """A more urgent picture took the place after `step` steps; `resumed` will follow."""
    return {"type": "paused", "step": step}


def resumed(step: int) -> Event:
    return {"type": "resumed", "step": step}


def checkpoint(step: int, steps: int) -> Event:
    """The state after `step` steps comes with it, for the field `resume` of the same request."""
    return {"type": "checkpoint", "step": step, "steps": steps}


def done(steps: int, seconds: dict[str, float], facts: Mapping[str, Any] = NONE) -> Event:
    """`seconds` has `load` (of the model, 0 if it was there), `queue` (from then to the first
    step), `steps` (until the last one) and `decode`. `facts` are what the drawing says of itself
    (`prompt_tokens`, `prompt_chunks`) and `made_by`."""
    return {"type": "done", "steps": steps, "seconds": seconds, **facts}


def drained(jobs: int) -> Event:
    """So many generations were handed back."""
    return {"type": "drained", "jobs": jobs}


def loaded(model: str, seconds: float) -> Event:
    """The model is in memory; 0 seconds if it was there."""
    return {"type": "loaded", "model": model, "seconds": seconds}


def unloaded(model: str, was_loaded: bool) -> Event:
    return {"type": "unloaded", "model": model, "was_loaded": was_loaded}


def stats(
    *,
    pictures: Mapping[str, int],
    memory: Mapping[str, int],
    models: Mapping[str, Mapping[str, Any]],
    requests: Sequence[str],
) -> Event:
    """`pictures`: `running`, `waiting`, `paused`, `finishing` (only decoding is left of these);
    `requests` are the ids of all of these.
    `memory`: bytes of the `budget` and `used`. `models`, by name, those in memory or used since the
    start: `bytes` (0: not in memory), `pictures` (using it now), `steps` of pictures, `calls` of
    its denoiser, `rows` of pictures in these and `padding_rows`; its `runner`, the `runner_calls`
    that this made and, by reason, the `eager_calls` that torch made in its place."""
    named = {"memory": memory, "models": models, "requests": list(requests)}
    return {"type": "stats", **pictures, **named}
