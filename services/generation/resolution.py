"""From what a caller asked to what will be done: defaults, seed, work, price."""

from libs.credits.pricing import Work, steps_from_image
from services.generation.bases import require_base
from services.generation.ingredients import (
    Sources,
    factor_of,
    refuse,
    require_ingredients,
    sides_of,
    strength_of,
)
from services.generation.schemas import (
    MAX_SEED,
    MIN_SIDE,
    GenerationRequest,
    ResolvedRequest,
)
from services.model.client.contracts import ModelInfo


def resolve_request(
    request: GenerationRequest, model: ModelInfo, sources: Sources, *, random_seed: int
) -> ResolvedRequest:
    """Fill in the model's defaults and the seed; the model is named by its slug.

    Raises ValidationFailed for what does not go together, or is not for this model.
    """
    require_ingredients(request, sources)
    width, height = sides_of(request, model, sources)
    require_sides(width, height, model)
    require_base(request, width, height, model)
    require_a_step(request, model)
    return ResolvedRequest(
        task=request.task,
        model=model.slug,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=width,
        height=height,
        steps=request.steps or model.default_steps,
        guidance=model.default_guidance if request.guidance is None else request.guidance,
        scheduler=request.scheduler,
        seed=random_seed if request.seed is None else request.seed,
        init_image_id=request.init_image_id,
        mask_image_id=request.mask_image_id,
        strength=strength_of(request),
        expand=request.expand,
        factor=factor_of(request),
        clip_skip=request.clip_skip,
        tiling=request.tiling,
        num_images=request.num_images,
        format=request.format,
        metadata=request.metadata,
        webhook_id=request.webhook_id,
    )


def require_sides(width: int, height: int, model: ModelInfo) -> None:
    """Raises ValidationFailed naming each side that the model cannot draw."""
    sides = {"body.width": width, "body.height": height}
    message = f"Input should be at most {model.max_side} for the model {model.slug}"
    refuse({field: message for field, side in sides.items() if side > model.max_side})
    message = f"The picture would have {width}x{height} pixels; each side needs {MIN_SIDE}"
    refuse({field: message for field, side in sides.items() if side < MIN_SIDE})


def require_a_step(request: GenerationRequest, model: ModelInfo) -> None:
    """Raises ValidationFailed for a strength of which no step is left."""
    strength, steps = strength_of(request), request.steps or model.default_steps
    if strength is not None and not steps_from_image(model.base, steps, strength):
        refuse({"body.strength": f"Of {steps} steps, none is left at a strength of {strength:g}"})


def steps_run(request: ResolvedRequest, base: str) -> int:
    """Denoising steps of one image that are really run."""
    if request.strength is None:
        return request.steps
    return steps_from_image(base, request.steps, request.strength)


def work_of(request: ResolvedRequest, base: str) -> Work:
    """What the request asks of the GPU, as the price book counts it."""
    return Work(
        base=base,
        width=request.width,
        height=request.height,
        steps=steps_run(request, base),
        images=request.num_images,
        upscale=request.task == "upscale",
    )


def seed_of_image(request: ResolvedRequest, index: int) -> int:
    """Seed of the `index`-th image of a request: consecutive, modulo 2^32."""
    return (request.seed + index) % (MAX_SEED + 1)
