"""Outpainting: an image gets margins, and these are inpainted.

The margins begin as the image's outermost pixels, drawn out to the sides (so a strength below 1
keeps something of them). The mask is the margins and two latent cells of the image along each of
them, where the soft edge of inpainting hides the seam; all other pixels of the image stay.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from inference.pipelines import img2img, inpaint
from inference.pipelines.images import read_image, require_file, require_sides
from inference.pipelines.loading import Model
from inference.pipelines.picture import aside
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.task import Plan, Task

OVERLAP_CELLS = 2


def plan(model: Model, request: Request, files: Sequence[bytes]) -> Plan:
    """The image and its margins have the sides of the request."""
    width, height = inner_sides(request)
    image = aside(read_image, require_file(files, request.image, "image"), "image")
    require_sides("image", image, width, height)
    canvas = extend(image, request.expand)
    mask = margins(width, height, request.expand, OVERLAP_CELLS * model.vae_scale)
    return inpaint.draw_within(model, request, canvas, mask)


def inner_sides(request: Request) -> tuple[int, int]:
    """Width and height of the image. Raises InvalidRequest when the margins leave none."""
    left, above, right, below = request.expand
    if not any(request.expand):
        raise InvalidRequest("expand adds nothing: nothing would be drawn")
    width, height = request.width - left - right, request.height - above - below
    if width < 1 or height < 1:
        raise InvalidRequest(
            f"expand leaves nothing of {request.width} x {request.height} pixels to the image"
        )
    return width, height


def extend(image: Image.Image, expand: tuple[int, ...]) -> Image.Image:
    """An RGB image with margins left, above, right and below in the colours of its edges."""
    left, above, right, below = expand
    pixels = np.pad(np.asarray(image), ((above, below), (left, right), (0, 0)), mode="edge")
    return Image.fromarray(pixels)


def margins(width: int, height: int, expand: tuple[int, ...], overlap: int) -> Image.Image:
    """The mask for an image of these sides: white margins that reach `overlap` pixels into it."""
    left, above, right, below = expand
    mask = np.full((above + height + below, left + width + right), 255, dtype=np.uint8)
    starts = (above + min(above, 1) * overlap, left + min(left, 1) * overlap)
    ends = (above + height - min(below, 1) * overlap, left + width - min(right, 1) * overlap)
    mask[starts[0] : max(ends[0], 0), starts[1] : max(ends[1], 0)] = 0
    return Image.fromarray(mask)


TASK = Task(
    classes=inpaint.CLASSES,
    reads=frozenset({"image", "expand", "strength"}),
    plan=plan,
    steps=img2img.steps_taken,
)
