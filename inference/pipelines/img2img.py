"""Image to image: an image with so much noise that `strength` of the steps are left to take."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from inference.pipelines import flux
from inference.pipelines.families import family_of
from inference.pipelines.images import read_image, require_file, require_sides
from inference.pipelines.loading import Model
from inference.pipelines.picture import aside
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.task import Plan, Task

CLASSES = {
    "sd15": "StableDiffusionImg2ImgPipeline",
    "sdxl": "StableDiffusionXLImg2ImgPipeline",
    flux.FAMILY: "FluxImg2ImgPipeline",
}


def plan(model: Model, request: Request, files: Sequence[bytes]) -> Plan:
    """The image has the sides of the request."""
    image = aside(read_image, require_file(files, request.image, "image"), "image")
    require_sides("image", image, request.width, request.height)
    return Plan(arguments(request, image))


def arguments(request: Request, image: Image.Image) -> dict[str, Any]:
    """What diffusers' image-to-image pipelines get for an RGB image."""
    return {"image": image, "strength": request.strength}


def steps_taken(model: Model, request: Request) -> int:
    """Steps that are left to take.

    Raises InvalidRequest when none is left.
    """
    steps = family_of(model).steps_from_image(request)
    if steps < 1:
        raise InvalidRequest(
            f"strength: {request.strength:g} of {request.steps} steps is less than one step"
        )
    return steps


TASK = Task(classes=CLASSES, reads=frozenset({"image", "strength"}), plan=plan, steps=steps_taken)
