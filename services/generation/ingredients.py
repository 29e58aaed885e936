"""What a task begins with: which fields go together, and how large the picture becomes."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.kernel.problems import ValidationFailed
from libs.triton.contract import Task
from services.generation.schemas import SIDE_STEP, Expand, GenerationRequest
from services.model.client.contracts import ModelInfo

STRENGTHS: dict[Task, float | None] = {
    "txt2img": None,
    "img2img": 0.7,
    "inpaint": 1.0,
    "outpaint": 1.0,
    "upscale": 0.3,
}
NEEDED: dict[Task, tuple[str, ...]] = {
    "txt2img": (),
    "img2img": ("init_image_id",),
    "inpaint": ("init_image_id", "mask_image_id"),
    "outpaint": ("init_image_id", "expand"),
    "upscale": ("init_image_id",),
}
ALLOWED: dict[Task, tuple[str, ...]] = {
    "txt2img": (),
    "img2img": ("init_image_id", "strength"),
    "inpaint": ("init_image_id", "mask_image_id", "strength"),
    "outpaint": ("init_image_id", "expand", "strength"),
    "upscale": ("init_image_id", "factor", "strength"),
}
INGREDIENTS = ("init_image_id", "mask_image_id", "strength", "expand", "factor")
DEFAULT_FACTOR = 2


@dataclass(frozen=True)
class SourceImage:
    """An image of the user's. Sides are pixels."""

    width: int
    height: int


Sources = Mapping[str, SourceImage]  # by the name of the field that names the image
NO_SOURCES: Sources = {}


def refuse(errors: Mapping[str, str]) -> None:
    """Raises ValidationFailed naming every field, if there are any."""
    if errors:
        raise ValidationFailed(
            "; ".join(f"{field}: {message}" for field, message in errors.items()),
            errors=[{"field": field, "message": message} for field, message in errors.items()],
        )


def require_ingredients(request: GenerationRequest, sources: Sources) -> None:
    """Raises ValidationFailed for fields that the task lacks or has no use for, and for a mask that
    does not lie on its image."""
    task, errors = request.task, {}
    for name in INGREDIENTS:
        given = getattr(request, name) not in (None, Expand())
        if given and name not in ALLOWED[task]:
            errors[f"body.{name}"] = f"{task} has no use for it"
        elif not given and name in NEEDED[task]:
            errors[f"body.{name}"] = f"{task} needs it"
    refuse(errors)
    image, mask = sources.get("init_image_id"), sources.get("mask_image_id")
    if image is not None and mask is not None and image != mask:
        sizes = (mask.width, mask.height, image.width, image.height)
        refuse({"body.mask_image_id": "The mask has {}x{} pixels, the image {}x{}".format(*sizes)})


def sides_of(request: GenerationRequest, model: ModelInfo, sources: Sources) -> tuple[int, int]:
    """Width and height of the picture. Raises ValidationFailed for sides that cannot be."""
    image = sources.get("init_image_id")
    if image is None:
        return request.width or model.default_width, request.height or model.default_height
    if request.task == "outpaint":
        margins = request.expand or Expand()
        width = image.width + margins.left + margins.right
        return _exact(request, width, image.height + margins.top + margins.bottom)
    if request.task == "upscale":
        factor = factor_of(request) or 1
        return _exact(request, image.width * factor, image.height * factor)
    width, height = request.width or image.width, request.height or image.height
    message = f"The image has {image.width}x{image.height} pixels: give a multiple of {SIDE_STEP}"
    refuse(
        {
            f"body.{name}": message
            for name, side in (("width", width), ("height", height))
            if side % SIDE_STEP
        }
    )
    return width, height


def _exact(request: GenerationRequest, width: int, height: int) -> tuple[int, int]:
    """Sides that follow from the image alone; they may be given, if they are the same."""
    errors = {}
    for name, given, side in (
        ("width", request.width, width),
        ("height", request.height, height),
    ):
        if given not in (None, side):
            errors[f"body.{name}"] = f"It follows from the image: {side}"
        elif side % SIDE_STEP:
            errors["body.init_image_id"] = (
                f"The picture would have {width}x{height} pixels: not multiples of {SIDE_STEP}"
            )
    refuse(errors)
    return width, height


def strength_of(request: GenerationRequest) -> float | None:
    """The share of the steps that is run; None for all of txt2img."""
    return STRENGTHS[request.task] if request.strength is None else request.strength


def factor_of(request: GenerationRequest) -> int | None:
    """How many times as long an upscale's sides become."""
    return (request.factor or DEFAULT_FACTOR) if request.task == "upscale" else None
