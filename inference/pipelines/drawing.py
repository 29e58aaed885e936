"""The door to the pipelines: from a request to a picture under way."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from inference.pipelines import img2img, inpaint, outpaint, txt2img, upscale
from inference.pipelines.adapters import adapter_arguments, check_adapters, pipeline_class
from inference.pipelines.families import family_of
from inference.pipelines.images import require_file
from inference.pipelines.loading import Model, make_pipeline
from inference.pipelines.picture import Picture
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.steps import Moment, NotFinite, Steps
from inference.pipelines.task import Task

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
    task, family = TASKS[request.task], family_of(model)
    scheduler = family.make_scheduler(model, request)
    # On the CPU always: the same seed is the same picture on every kind of device.
    generator = torch.Generator().manual_seed(request.seed)
    total = task.steps(model, request)
    steps = Steps(scheduler, generator, steps=request.steps, total=total, resume=resume)
    steps.unpack = lambda latents: family.unpack(latents, request, model.vae_scale)
    notes: dict[str, Any] = {}

    def draw() -> npt.NDArray[np.uint8]:
        plan = task.plan(model, request, files)
        class_name = pipeline_class(task.classes[model.family], request)
        pipeline = make_pipeline(class_name, model, scheduler)
        arguments = plan.arguments | adapter_arguments(request, files)
        images = pipeline(
            **arguments | family.encode_words(model, request, notes),
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
    family_of(model).check(request)
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
    multiple = max(model.vae_scale, family_of(model).side_multiple)
    for name, side in (("width", request.width), ("height", request.height)):
        if side % multiple or side > largest:
            raise InvalidRequest(
                f"{name} must be a multiple of {multiple} of at most {largest} pixels "
                f"for the model {request.model!r}"
            )
