"""Every task of every family: the request with its files, and the same for plain diffusers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from tests.inference.sample_pictures import encode, make_image, make_mask

MASK = make_mask()
INNER = make_image(40, 48)
EXPAND = (16, 0, 8, 16)
# INNER lies at (16, 0); two cells of 4 pixels along each margin are drawn anew, too.
CANVAS = Image.fromarray(np.pad(np.asarray(INNER), ((0, 16), (16, 8), (0, 0)), mode="edge"))
CANVAS_MASK = Image.new("L", (64, 64), 255)
CANVAS_MASK.paste(0, (16 + 8, 0, 16 + 40 - 8, 48 - 8))
SMALL = make_image(32, 32)
SIDES = {"width": 64, "height": 64}


@dataclass(frozen=True)
class Case:
    """`plain` are the arguments of diffusers' `class_name`. `mask`: what may be drawn."""

    model: str
    class_name: str
    changes: dict[str, Any]
    plain: dict[str, Any]
    files: tuple[bytes, ...] = ()
    kept: Image.Image | None = None
    mask: Image.Image | None = field(default=None, repr=False)


def _cases_of(model: str, prefix: str) -> dict[str, Case]:
    image, half = make_image(), {"strength": 0.6}
    painted = {"task": "inpaint", "image": 0, "mask": 1, "strength": 0.8}
    extended = {"task": "outpaint", "image": 0, "expand": EXPAND, "strength": 1.0}
    drawn = f"{prefix}InpaintPipeline"
    changed = f"{prefix}Img2ImgPipeline"
    masked = {"image": image, "mask_image": MASK, "strength": 0.8, **SIDES}
    outer = {"image": CANVAS, "mask_image": CANVAS_MASK, "strength": 1.0, **SIDES}
    enlarged = {"image": SMALL.resize((64, 64), Image.Resampling.LANCZOS), **half}
    files, inner = (encode(image), encode(MASK)), (encode(INNER),)
    inpaint = Case(model, drawn, painted, masked, files, image, MASK)
    outpaint = Case(model, drawn, extended, outer, inner, CANVAS, CANVAS_MASK)
    if model.endswith("-inpainting"):
        return {"inpaint": inpaint, "outpaint": outpaint}
    return {
        "txt2img": Case(model, f"{prefix}Pipeline", {"task": "txt2img"}, SIDES),
        "img2img": Case(
            model,
            changed,
            {"task": "img2img", "image": 0, **half},
            {"image": image, **half},
            files[:1],
        ),
        "inpaint": inpaint,
        "outpaint": outpaint,
        "upscale": Case(
            model, changed, {"task": "upscale", "image": 0, **half}, enlarged, (encode(SMALL),)
        ),
    }


def _upscaler() -> dict[str, Case]:
    image = make_image(16, 16)
    changes = {"task": "upscale", "image": 0}
    name = "StableDiffusionUpscalePipeline"
    return {"upscale": Case("x4", name, changes, {"image": image}, (encode(image),))}


SD, XL = "StableDiffusion", "StableDiffusionXL"
CASES: dict[str, Case] = {
    f"{model}-{task}": case
    for model, cases in {
        "sd15": _cases_of("sd15", SD),
        "sd15-inpainting": _cases_of("sd15-inpainting", SD),
        "sdxl": _cases_of("sdxl", XL),
        "sdxl-inpainting": _cases_of("sdxl-inpainting", XL),
        "x4": _upscaler(),
    }.items()
    for task, case in cases.items()
}
