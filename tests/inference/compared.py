"""Our pictures held against those of a diffusers pipeline, and against themselves resumed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from inference.pipelines.calls import Kind
from inference.pipelines.drawing import begin
from inference.pipelines.loading import Model
from inference.pipelines.picture import Picture
from inference.pipelines.request import Request
from tests.inference.drawn import watch

RELATIVE_ERROR = 1e-5
WHOLE = (slice(None), slice(None))


def call_pipeline(
    pipeline: Any, wanted: Request, **arguments: Any
) -> tuple[npt.NDArray[np.uint8], torch.Tensor]:
    """The picture of a diffusers pipeline for these words, steps, guidance and seed, and the
    latents that its VAE gets."""
    decoded: list[torch.Tensor] = []
    decode = pipeline.vae.decode

    def watch(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        decoded.append(latents)
        return decode(latents, *args, **kwargs)

    pipeline.vae.decode = watch
    try:
        images = pipeline(
            prompt=wanted.prompt,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance,
            generator=torch.Generator().manual_seed(wanted.seed),
            output_type="np",
            **arguments,
        ).images
    finally:
        pipeline.vae.decode = decode
    return (images[0] * 255).round().astype(np.uint8), decoded[0]


def assert_drawn_as(
    pipeline: Any,
    model: Model,
    wanted: Request,
    files: Sequence[bytes] = (),
    *,
    part: tuple[slice, slice] = WHOLE,
    **arguments: Any,
) -> npt.NDArray[np.uint8]:
    """Our latents are diffusers' to 1e-5 of their largest, our pixels to 1 of 255; our picture.

    `arguments` are those that the pipeline gets for what the request asks. Only a `part` of the
    pixels is held against it: inpainting lays what was drawn over the image.
    """
    expected, latents = call_pipeline(pipeline, wanted, **arguments)
    drawn = watch(begin(model, wanted, files))
    assert drawn.latents is not None and latents.isfinite().all()
    error = (drawn.latents - latents).abs().max() / latents.abs().max()
    assert float(error) <= RELATIVE_ERROR, f"relative error {float(error):.1e}"
    pixels: npt.NDArray[np.uint8] = drawn.pixels
    assert np.abs(pixels[part].astype(int) - expected[part].astype(int)).max() <= 1
    return pixels


def assert_resumes(model: Model, wanted: Request, files: Sequence[bytes], at: int) -> None:
    """A picture begun anew from after `at` scheduler steps is the same bytes for fewer calls."""
    picture = begin(model, wanted, files)
    call, moment, whole = picture.advance(), None, 0
    while call is not None:
        whole += call.kind is Kind.STEP
        call = picture.advance(call.run())
        if picture.steps.calls == at and moment is None:
            moment = picture.steps.moment()
    assert moment is not None
    resumed = begin(model, wanted, files, resume=moment)
    assert 0 < count_steps(resumed) < whole
    assert resumed.result.tobytes() == picture.result.tobytes()


def count_steps(picture: Picture) -> int:
    """Draw it; how many calls belonged into the step loop."""
    count, call = 0, picture.advance()
    while call is not None:
        count += call.kind is Kind.STEP
        call = picture.advance(call.run())
    return count
