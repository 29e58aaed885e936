"""Models whose denoiser does what a test needs beside what it is for."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from inference.engine.shelf import Load
from inference.pipelines.calls import Kind
from inference.pipelines.loading import Model, load_model, no_prediction
from inference.pipelines.picture import suspend

Around = Callable[..., Any]
GATE_SECONDS = 30
# Three steps of the tiny model are at 667, 334 and 1; no other number of steps below 9 is at 334.
MARKED_STEPS, MARKED_TIMESTEP = 3, 334


def plainly(real: Around, *args: Any, **kwargs: Any) -> Any:
    """The call itself."""
    return real(*args, **kwargs)


def load_around(around: Around, encode: Around = plainly) -> Load:
    """A loader of models whose UNet is called by `around(real, sample, timestep, ...)`, and whose
    text encoder by `encode(real, ...)`."""

    def load(folder: Path, device: torch.device) -> Model:
        model = load_model(folder, device)
        unet, text_encoder = model.components["unet"], model.components["text_encoder"]
        unet.forward = partial(around, partial(type(unet).forward, unet))
        text_encoder.forward = partial(encode, partial(type(text_encoder).forward, text_encoder))
        owner = (model.identity, "unet")
        suspend(unet, "forward", Kind.STEP, owner, skipped=no_prediction)
        suspend(text_encoder, "forward", Kind.SIDE, (model.identity, "text_encoder"))
        return model

    return load


def marked_rows(timestep: torch.Tensor) -> torch.Tensor:
    """Which rows belong to pictures of MARKED_STEPS steps, in the second of these."""
    return timestep.reshape(-1).round() == MARKED_TIMESTEP


class Gate:
    """Lets so many calls of the denoiser pass, and notes the rows of each."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._passes = threading.Semaphore(0)
        self._is_open = False

    def __call__(self, real: Around, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self._is_open:
            assert self._passes.acquire(timeout=GATE_SECONDS), "the gate stayed shut"
        self.rows.append(len(sample))
        return real(sample, *args, **kwargs)

    def let(self, calls: int) -> None:
        """So many more calls may pass."""
        self._passes.release(calls)

    def open(self) -> None:
        """All may pass from now on."""
        self._is_open = True
        self._passes.release(1000)
