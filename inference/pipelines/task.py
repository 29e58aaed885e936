"""What a task is: a diffusers pipeline for each family and the arguments of its call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.pipelines.loading import Model
from inference.pipelines.request import Request

Pixels = npt.NDArray[np.uint8]


def as_drawn(pixels: Pixels) -> Pixels:
    """What diffusers drew is the picture."""
    return pixels


@dataclass(frozen=True)
class Plan:
    """What a pipeline's call gets beside words, steps, guidance and generator, and what becomes of
    the pixels [height, width, 3] that it draws."""

    arguments: dict[str, Any]
    finish: Callable[[Pixels], Pixels] = as_drawn


@dataclass(frozen=True)
class Task:
    """`classes` names the diffusers pipeline of each family, `reads` the fields of the request
    that belong to this task. `plan` runs within the picture and raises InvalidRequest for files
    that do not do; `steps` are those really taken, at least one or InvalidRequest."""

    classes: Mapping[str, str]
    reads: frozenset[str]
    plan: Callable[[Model, Request, Sequence[bytes]], Plan]
    steps: Callable[[Model, Request], int]


def all_steps(model: Model, request: Request) -> int:
    """A picture out of pure noise takes every step."""
    return request.steps
