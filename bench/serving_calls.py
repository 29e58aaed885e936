"""What the serving benchmark hands to an engine: requests, senders that take times, denoisers that
note their calls."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.engine.engine import Arrival, Engine
from inference.engine.events import Event, Failure, Picture
from inference.engine.settings import SHIPPED_MODEL, read_settings
from inference.engine.shelf import Load
from inference.pipelines.calls import Kind
from inference.pipelines.loading import Model, load_model, no_prediction
from inference.pipelines.picture import suspend
from inference.pipelines.request import Request

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
THREADS = 1
WAIT_SECONDS = 120
SIDE_PIXELS = 64
FIRST_TIMESTEP = 999  # of the demo model, whatever the number of steps


def request_fields(steps: int, seed: int, **changes: Any) -> dict[str, Any]:
    """A picture of the demo model."""
    return {
        "model": SHIPPED_MODEL,
        "task": "txt2img",
        "prompt": "a red apple",
        "negative_prompt": "",
        "width": SIDE_PIXELS,
        "height": SIDE_PIXELS,
        "steps": steps,
        "guidance": 5.0,
        "scheduler": "euler",
        "seed": seed,
        "progress_every": 0,
        **changes,
    }


def make_request(steps: int, seed: int, **changes: Any) -> Request:
    """The same as the engine reads it."""
    return Request(**request_fields(steps, seed, **changes))


@dataclass
class Caller:
    """A sender that keeps times (perf_counter) and calls `ended` at its end."""

    ended: Callable[["Caller"], None] = field(default=lambda caller: None)
    steps: int = 0
    submitted: float = field(default_factory=time.perf_counter)
    finished: float = 0.0
    has_picture: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def seconds(self) -> float:
        return self.finished - self.submitted

    def is_cancelled(self) -> bool:
        return self.cancelled.is_set()

    def send(self, event: Event, preview: Picture | None = None, checkpoint: bytes = b"") -> None:
        self.steps = event.get("step", self.steps)

    def finish(self, event: Event, image: Picture | None = None) -> None:
        self.has_picture = image is not None
        self._end()

    def fail(self, failure: Failure, message: str) -> None:
        self._end()

    def wait(self) -> "Caller":
        """Raises TimeoutError."""
        if not self.over.wait(WAIT_SECONDS):
            raise TimeoutError("the engine does not answer")
        return self

    def _end(self) -> None:
        self.finished = time.perf_counter()
        self.over.set()
        self.ended(self)


def submit(engine: Engine, fields: dict[str, Any], **about: Any) -> Caller:
    """Hand a request or an operation over."""
    caller = Caller(**about)
    text = json.dumps(fields).encode()
    engine.submit(lambda: Arrival(text, (), "", caller))
    return caller


@contextmanager
def serving(folder: Path, load: Load = load_model, **parameters: Any) -> Iterator[Engine]:
    """An engine with the demo model in memory."""
    texts = {name: str(value) for name, value in parameters.items()}
    given = {"models_dir": str(folder), "preload": SHIPPED_MODEL, "threads": str(THREADS)}
    engine = Engine(read_settings(ROOT, {**given, **texts}, {}), CPU, load=load)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


class Watch:
    """Notes when each call of a denoiser began and with which timesteps."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, list[int]]] = []

    def note(self, timestep: torch.Tensor) -> None:
        """A call begins."""
        rows = [round(float(t)) for t in np.atleast_1d(timestep.numpy())]
        self.calls.append((time.perf_counter(), rows))

    def until_joined(self, since: float) -> int:
        """Calls that began after `since` and before the first with a picture's first step."""
        later = [rows for began, rows in self.calls if began > since]
        return next(n for n, rows in enumerate(later) if FIRST_TIMESTEP in rows)


def replace_denoiser(model: Model, forward: Callable[..., Any]) -> None:
    """Have the pictures of a model call `forward(real, sample, timestep, ...)` for their steps."""
    unet = model.components["unet"]
    unet.forward = partial(forward, partial(type(unet).forward, unet))
    suspend(unet, "forward", Kind.STEP, (model.identity, "unet"), skipped=no_prediction)


def load_watched(watch: Watch) -> Load:
    """A loader of models whose denoiser computes, and is watched."""

    def forward(real: Any, sample: Any, timestep: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        watch.note(timestep)
        return real(sample, timestep, *args, **kwargs)

    def load(folder: Path, device: torch.device) -> Model:
        model = load_model(folder, device)
        replace_denoiser(model, forward)
        return model

    return load
