"""The door to the pipelines: from a request to a picture under way."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from inference.pipelines import flux, img2img, inpaint, outpaint, txt2img, upscale
from inference.pipelines.adapters import adapter_arguments, check_adapters, pipeline_class
from inference.pipelines.images import require_file
from inference.pipelines.loading import Model, make_pipeline
from inference.pipelines.picture import Picture
from inference.pipelines.prompts import encode_words
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.schedulers import make_scheduler
from inference.pipelines.steps import Moment, NotFinite, Steps
from inference.pipelines.task import Task

SIDE_MULTIPLE_PIXELS = 8
MAX_SIDE_FACTOR = 4
INPAINTING_CHANNELS = 9

TASKS: dict[str, Task] = {
    "txt2img": txt2img.TASK,
    "img2img": img2img.TASK,
    "inpaint": inpaint.TASK,
    "outpaint": outpaint.TASK,
    "upscale": upscale.TASK,
}


def begin(
    model: Model, request: Request, files: Sequence[bytes] = (), resume: Moment | None = None
) -> Picture:
    """A picture that has not begun. Its result is uint8 [height, width, 3].

    Raises InvalidRequest for what can be seen before any part is called; what only the files tell
    is raised by `advance` before the first step.
    """
    check(model, request, files)
    task = TASKS[request.task]
    scheduler = make_own_scheduler(model, request)
    # On the CPU always: the same seed is the same picture on every kind of device.
    generator = torch.Generator().manual_seed(request.seed)
    total = task.steps(model, request)
    steps = Steps(scheduler, generator, steps=request.steps, total=total, resume=resume)
    if model.family == flux.FAMILY:
        steps.unpack = partial(flux.unpack, request=request, vae_scale=model.vae_scale)
    notes: dict[str, Any] = {}

    def draw() -> npt.NDArray[np.uint8]:
        plan = task.plan(model, request, files)
        class_name = pipeline_class(task.classes[model.family], request)
        pipeline = make_pipeline(class_name, model, scheduler)
        arguments = plan.arguments | adapter_arguments(request, files)
        encode = flux.encode_words if model.family == flux.FAMILY else encode_words
        images = pipeline(
            **arguments | encode(model, request, notes),
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            generator=generator,
            output_type="np",
        ).images
        return plan.finish(to_pixels(images[0]))

    return Picture(draw, steps, notes)


def check(model: Model, request: Request, files: Sequence[bytes]) -> None:
    """Raises InvalidRequest for a task or a size that this model cannot draw, and for fields that
    the task lacks or does not know."""
    check_task(model, request.task)
    check_size(model, request)
    check_adapters(model, request, files)
    if model.family == flux.FAMILY:
        flux.check(request)
    reads = TASKS[request.task].reads
    for name, none in (("image", None), ("mask", None), ("expand", (0, 0, 0, 0))):
        if name not in reads and getattr(request, name) != none:
            raise InvalidRequest(f"{name} is nothing that {request.task} takes")
    if "image" in reads:
        require_file(files, request.image, "image")
    if request.mask is not None:
        require_file(files, request.mask, "mask")


def check_task(model: Model, task: str) -> None:
    """Raises InvalidRequest for a task that this model cannot do."""
    can = [name for name in TASKS if model.family in TASKS[name].classes]
    if model.denoiser.config.in_channels == INPAINTING_CHANNELS:
        can = ["inpaint", "outpaint"]
    if task not in can:
        raise InvalidRequest(f"task: this model does {', '.join(can)}, not {task}")


def to_pixels(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colours from 0 to 1, rounded as diffusers' VaeImageProcessor rounds.

    Raises NotFinite: a VAE in half precision may overflow where the latents did not.
    """
    if not np.isfinite(image).all():
        raise NotFinite("its colours are not finite numbers")
    return np.ascontiguousarray((image * 255).round().astype(np.uint8))


def check_size(model: Model, request: Request) -> None:
    """Raises InvalidRequest for sides that this model cannot draw."""
    largest = MAX_SIDE_FACTOR * model.native_side
    is_flux = model.family == flux.FAMILY
    multiple = max(model.vae_scale, flux.SIDE_MULTIPLE_PIXELS if is_flux else SIDE_MULTIPLE_PIXELS)
    for name, side in (("width", request.width), ("height", request.height)):
        if side % multiple or side > largest:
            raise InvalidRequest(
                f"{name} must be a multiple of {multiple} of at most {largest} pixels "
                f"for the model {request.model!r}"
            )


def make_own_scheduler(model: Model, request: Request) -> Any:
    """A scheduler for one picture. Raises InvalidRequest for one that the model cannot use, and
    for more steps than the noise schedule has."""
    if model.family == flux.FAMILY:
        return flux.make_flow_scheduler(request, model.scheduler_config)
    scheduler = make_scheduler(request.scheduler, model.scheduler_config)
    check_steps(scheduler, request)
    return scheduler


def check_steps(scheduler: Any, request: Request) -> None:
    """Raises InvalidRequest for more steps than the noise schedule has."""
    try:
        scheduler.set_timesteps(request.steps)
    except ValueError as error:
        raise InvalidRequest(f"steps: {error}") from error
