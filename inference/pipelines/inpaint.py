"""Inpainting: the white part of a mask is drawn anew, the rest comes back as it was.

Models whose UNet takes the mask and the masked image (9 channels) and all others (4) are
diffusers' inpainting pipelines alike; these decide at a grey of 0.5 what is drawn. What they
draw lies over the image by the mask's own greys, as `VaeImageProcessor.apply_overlay` of diffusers
has it, with a soft edge within the white part.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from inference.pipelines import flux, img2img
from inference.pipelines.images import (
    read_image,
    read_mask,
    read_transparency,
    require_file,
    require_sides,
    require_white,
)
from inference.pipelines.loading import Model
from inference.pipelines.picture import aside
from inference.pipelines.request import Request
from inference.pipelines.task import Pixels, Plan, Task

CLASSES = {
    "sd15": "StableDiffusionInpaintPipeline",
    "sdxl": "StableDiffusionXLInpaintPipeline",
    flux.FAMILY: "FluxInpaintPipeline",
}


def plan(model: Model, request: Request, files: Sequence[bytes]) -> Plan:
    """Image and mask have the sides of the request; without a mask, what is transparent in the
    image is drawn anew."""
    data = require_file(files, request.image, "image")
    image = aside(read_image, data, "image")
    require_sides("image", image, request.width, request.height)
    if request.mask is None:
        mask = aside(read_transparency, data, "mask")
    else:
        mask = aside(read_mask, require_file(files, request.mask, "mask"), "mask")
        require_sides("mask", mask, request.width, request.height)
    require_white("mask", mask, model.vae_scale)
    return draw_within(model, request, image, mask)


def draw_within(model: Model, request: Request, image: Image.Image, mask: Image.Image) -> Plan:
    """Draw the white part of a grey mask; both pictures have the sides of the request."""

    def finish(drawn: Pixels) -> Pixels:
        return aside(overlay, image, mask, soft_pixels(model), drawn)

    return Plan(arguments(request, image, mask), finish)


def arguments(request: Request, image: Image.Image, mask: Image.Image) -> dict[str, Any]:
    """What diffusers' inpainting pipelines get."""
    sides = {"width": request.width, "height": request.height}
    return {**img2img.arguments(request, image), "mask_image": mask, **sides}


def soft_pixels(model: Model) -> int:
    """The soft edge: half a latent cell."""
    return max(1, model.vae_scale // 2)


def overlay(original: Image.Image, mask: Image.Image, soft: int, drawn: Pixels) -> Pixels:
    """Drawn pixels over an image: black of the mask is the image, bit for bit."""
    picture = Image.composite(Image.fromarray(drawn), original, soften(mask, soft))
    return np.asarray(picture)


def soften(mask: Image.Image, pixels: int) -> Image.Image:
    """The mask with an edge that rises over so many pixels, all of them within its white part."""
    eroded = [mask]
    for _ in range(pixels - 1):
        eroded.append(eroded[-1].filter(ImageFilter.MinFilter(3)))
    mean = np.mean([np.asarray(one, dtype=np.float32) for one in eroded], axis=0)
    return Image.fromarray(mean.round().astype(np.uint8))


TASK = Task(
    classes=CLASSES,
    reads=frozenset({"image", "mask", "strength"}),
    plan=plan,
    steps=img2img.steps_taken,
)
