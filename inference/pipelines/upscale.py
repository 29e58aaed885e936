"""Upscaling: by the x4 upscaler, a model of its own, or by any other model as image to image.

Others enlarge the image two to four times by Lanczos resampling and draw its details anew: then
`strength` is how much. The x4 upscaler takes every step and the noise level of diffusers (20).
"""

from collections.abc import Sequence

from PIL import Image

from inference.pipelines import img2img
from inference.pipelines.images import read_image, require_file
from inference.pipelines.loading import Model
from inference.pipelines.picture import aside
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.task import Plan, Task, all_steps

UPSCALER = "x4"
FACTORS = (2, 3, 4)


def plan(model: Model, request: Request, files: Sequence[bytes]) -> Plan:
    """The sides of the request are whole multiples of the image's."""
    image = aside(read_image, require_file(files, request.image, "image"), "image")
    if model.family == UPSCALER:
        require_factor(request, image, (4,))
        require_whole_cells(image, model.vae_scale)
        return Plan({"image": image})
    require_factor(request, image, FACTORS)
    sides = (request.width, request.height)
    enlarged = aside(image.resize, sides, Image.Resampling.LANCZOS)
    return Plan(img2img.arguments(request, enlarged))


def require_factor(request: Request, image: Image.Image, factors: tuple[int, ...]) -> None:
    """Raises InvalidRequest unless width and height are one of these times the image's."""
    sides = (request.width, request.height)
    if sides not in [(image.width * factor, image.height * factor) for factor in factors]:
        raise InvalidRequest(
            f"width and height must be {' or '.join(map(str, factors))} times those of image, "
            f"which is {image.width} x {image.height} pixels, not {sides[0]} x {sides[1]}"
        )


def require_whole_cells(image: Image.Image, multiple: int) -> None:
    """Raises InvalidRequest for sides that diffusers would round down before it enlarges them."""
    if image.width % multiple or image.height % multiple:
        raise InvalidRequest(
            f"image must have sides that are multiples of {multiple}, "
            f"not {image.width} x {image.height} pixels"
        )


def steps(model: Model, request: Request) -> int:
    """The x4 upscaler begins with noise, others with the enlarged image."""
    taken = all_steps if model.family == UPSCALER else img2img.steps_taken
    return taken(model, request)


TASK = Task(
    classes={**img2img.CLASSES, UPSCALER: "StableDiffusionUpscalePipeline"},
    reads=frozenset({"image", "strength"}),
    plan=plan,
    steps=steps,
)
