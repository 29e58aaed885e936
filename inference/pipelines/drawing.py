"""The door to the pipelines: from a request to a picture under way.

A task is a diffusers pipeline for each family and a function that makes its arguments.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch

from inference.pipelines import txt2img
from inference.pipelines.loading import Model
from inference.pipelines.picture import Picture
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.schedulers import make_scheduler
from inference.pipelines.steps import Moment, Steps

SIDE_MULTIPLE_PIXELS = 8
MAX_SIDE_FACTOR = 4


@dataclass(frozen=True)
class Task:
    """`classes` names the diffusers pipeline of each family; `arguments` are what its call gets
    beside prompt, steps, guidance and generator."""

    classes: Mapping[str, str]
    arguments: Callable[[Model, Request, Sequence[bytes]], dict[str, Any]]


TASKS: dict[str, Task] = {
    "txt2img": Task({"sd15": "StableDiffusionPipeline"}, txt2img.arguments),
}


def begin(
    model: Model, request: Request, files: Sequence[bytes] = (), resume: Moment | None = None
) -> Picture:
    """A picture that has not begun. Its result is uint8 [height, width, 3].

    Raises InvalidRequest for what can be seen before any part is called.
    """
    check_size(model, request)
    scheduler = make_scheduler(request.scheduler, model.scheduler_config)
    check_steps(scheduler, request)
    # On the CPU always: the same seed is the same picture on every kind of device.
    generator = torch.Generator().manual_seed(request.seed)
    steps = Steps(scheduler, generator, steps=request.steps, total=request.steps, resume=resume)
    task = TASKS[request.task]
    pipeline = getattr(diffusers, task.classes[model.family])(
        **model.components, scheduler=scheduler, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)

    def draw() -> npt.NDArray[np.uint8]:
        images = pipeline(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            generator=generator,
            output_type="np",
            **task.arguments(model, request, files),
        ).images
        return to_pixels(images[0])

    return Picture(draw, steps)


def to_pixels(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colours from 0 to 1, rounded as diffusers' VaeImageProcessor rounds."""
    return np.ascontiguousarray((image * 255).round().astype(np.uint8))


def check_size(model: Model, request: Request) -> None:
    """Raises InvalidRequest for sides that this model cannot draw."""
    largest = MAX_SIDE_FACTOR * model.native_side
    for name, side in (("width", request.width), ("height", request.height)):
        if side % SIDE_MULTIPLE_PIXELS or side > largest:
            raise InvalidRequest(
                f"{name} must be a multiple of {SIDE_MULTIPLE_PIXELS} of at most {largest} pixels "
                f"for the model {request.model!r}"
            )


def check_steps(scheduler: Any, request: Request) -> None:
    """Raises InvalidRequest for more steps than the noise schedule has."""
    try:
        scheduler.set_timesteps(request.steps)
    except ValueError as error:
        raise InvalidRequest(f"steps: {error}") from error
