"""From what a caller asked to what will be done: defaults, seed, work, price."""

from libs.credits.pricing import Work
from libs.kernel.problems import ValidationFailed
from services.generation.schemas import MAX_SEED, GenerationRequest, ResolvedRequest
from services.model.client.contracts import ModelInfo


def resolve_request(
    request: GenerationRequest, model: ModelInfo, *, random_seed: int
) -> ResolvedRequest:
    """Fill in the model's defaults and the seed; the model is named by its slug.

    Raises ValidationFailed for a side that is longer than the model can draw.
    """
    require_sides(request, model)
    return ResolvedRequest(
        task=request.task,
        model=model.slug,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=request.width or model.default_width,
        height=request.height or model.default_height,
        steps=request.steps or model.default_steps,
        guidance=model.default_guidance if request.guidance is None else request.guidance,
        scheduler=request.scheduler,
        seed=random_seed if request.seed is None else request.seed,
        num_images=request.num_images,
        format=request.format,
        metadata=request.metadata,
        webhook_id=request.webhook_id,
    )


def require_sides(request: GenerationRequest, model: ModelInfo) -> None:
    """Raises ValidationFailed naming each side that the model cannot draw."""
    sides = {"body.width": request.width, "body.height": request.height}
    message = f"Input should be at most {model.max_side} for the model {model.slug}"
    errors = [
        {"field": field, "message": message}
        for field, side in sides.items()
        if side is not None and side > model.max_side
    ]
    if errors:
        detail = "; ".join(f"{error['field']}: {message}" for error in errors)
        raise ValidationFailed(detail, errors=errors)


def work_of(request: ResolvedRequest, base: str) -> Work:
    """What the request asks of the GPU, as the price book counts it."""
    return Work(
        base=base,
        width=request.width,
        height=request.height,
        steps=request.steps,
        images=request.num_images,
    )


def seed_of_image(request: ResolvedRequest, index: int) -> int:
    """Seed of the `index`-th image of a request: consecutive, modulo 2^32."""
    return (request.seed + index) % (MAX_SEED + 1)
