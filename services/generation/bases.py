"""What models of one base cannot take, said before a job is accepted; the engine, which has the
model's files, has the last word."""

from services.generation.ingredients import refuse
from services.generation.schemas import GenerationRequest
from services.model.client.contracts import ModelInfo

FLUX_SIDE_STEP = 16  # the transformer sees latents of 8 pixels two by two
FLUX_SCHEDULERS = ("euler", "dpmpp_2m", "unipc")
FLUX_SCHEDULERS_FROM_IMAGES = ("euler",)


def require_base(request: GenerationRequest, width: int, height: int, model: ModelInfo) -> None:
    """Raises ValidationFailed naming every field that the model's base has no place for."""
    if model.base == "flux":
        refuse(_lacks_in_flux(request, width, height))


def _lacks_in_flux(request: GenerationRequest, width: int, height: int) -> dict[str, str]:
    text = request.task == "txt2img"
    schedulers = FLUX_SCHEDULERS if text else FLUX_SCHEDULERS_FROM_IMAGES
    lacks = {
        "body.negative_prompt": (
            bool(request.negative_prompt.strip()),
            "Flux is guided without one; say it in the prompt",
        ),
        "body.clip_skip": (bool(request.clip_skip), "Flux takes its words from T5, not from CLIP"),
        "body.tiling": (request.tiling, "Flux has no edges to close"),
        "body.scheduler": (
            request.scheduler not in schedulers,
            f"Flux takes {', '.join(schedulers)} in {request.task}",
        ),
        "body.width": (bool(width % FLUX_SIDE_STEP), f"Flux draws multiples of {FLUX_SIDE_STEP}"),
        "body.height": (bool(height % FLUX_SIDE_STEP), f"Flux draws multiples of {FLUX_SIDE_STEP}"),
    }
    return {field: message for field, (is_asked, message) in lacks.items() if is_asked}
