"""Text to image with Stable Diffusion, one denoising call at a time.

The arithmetic is that of diffusers' StableDiffusionPipeline.__call__, cut at the step boundary so
that an engine can interleave many pictures. What one picture remembers between two calls, its
scheduler, its random generator and its latents, is its own: nothing depends on its neighbours.
"""

import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from inference.pipelines.loading import Pipeline
from inference.pipelines.preview import render_preview, to_pixels
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.schedulers import make_scheduler

SIDE_MULTIPLE_PIXELS = 8
MAX_SIDE_FACTOR = 4


@dataclass
class Denoising:
    """One picture under way. `embeddings` is [rows, tokens, width]: two rows when guided, the
    negative one first; `latents` is [1, channels, height / vae_scale, width / vae_scale]."""

    pipeline: Pipeline
    request: Request
    scheduler: Any
    latents: torch.Tensor
    embeddings: torch.Tensor
    step_options: dict[str, Any]
    calls: int = 0
    last_input: torch.Tensor | None = field(default=None, repr=False)
    last_prediction: torch.Tensor | None = field(default=None, repr=False)

    @property
    def is_finished(self) -> bool:
        return self.calls >= len(self.scheduler.timesteps)

    @property
    def steps_done(self) -> int:
        """Steps as the user counts them: some samplers call the UNet more often than once a step.

        The rule is that of the progress bar of StableDiffusionPipeline.
        """
        if self.is_finished:
            return self.request.steps
        order = int(self.scheduler.order)
        warm_up_calls = max(0, len(self.scheduler.timesteps) - self.request.steps * order)
        return max(0, self.calls - warm_up_calls) // order


def check_size(pipeline: Pipeline, request: Request) -> None:
    """Raises InvalidRequest for sides that this model cannot draw."""
    largest = MAX_SIDE_FACTOR * pipeline.native_side
    for name, side in (("width", request.width), ("height", request.height)):
        if side % SIDE_MULTIPLE_PIXELS or side > largest:
            raise InvalidRequest(
                f"{name} must be a multiple of {SIDE_MULTIPLE_PIXELS} of at most {largest} pixels "
                f"for the model {request.model!r}"
            )


@torch.inference_mode()
def begin(pipeline: Pipeline, request: Request) -> Denoising:
    """Noise and prompt, ready for the first call. Raises InvalidRequest for unusable steps."""
    scheduler = make_scheduler(request.scheduler, pipeline.scheduler_config)
    try:
        scheduler.set_timesteps(request.steps, device=pipeline.device)
    except ValueError as error:
        raise InvalidRequest(f"steps: {error}") from error
    prompts = [request.prompt]
    if request.guidance > 1:
        prompts.insert(0, request.negative_prompt)
    embeddings = torch.cat([encode_prompt(pipeline, prompt) for prompt in prompts])
    # On the CPU always: the same seed is the same picture on every kind of device.
    generator = torch.Generator().manual_seed(request.seed)
    height, width = request.height // pipeline.vae_scale, request.width // pipeline.vae_scale
    shape = (1, pipeline.unet.config.in_channels, height, width)
    noise = torch.randn(shape, generator=generator, dtype=pipeline.dtype).to(pipeline.device)
    return Denoising(
        pipeline=pipeline,
        request=request,
        scheduler=scheduler,
        latents=noise * scheduler.init_noise_sigma,
        embeddings=embeddings,
        step_options=_step_options(scheduler, generator),
    )


def encode_prompt(pipeline: Pipeline, prompt: str) -> torch.Tensor:
    """The text encoder's last hidden state [1, tokens, width]; a longer prompt is cut off."""
    tokens = pipeline.tokenizer(
        prompt,
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    hidden: torch.Tensor = pipeline.text_encoder(tokens.to(pipeline.device))[0]
    return hidden


@torch.inference_mode()
def advance(state: Denoising) -> None:
    """One call of the UNet and one scheduler step."""
    timestep = state.scheduler.timesteps[state.calls]
    model_input = state.scheduler.scale_model_input(state.latents, timestep)
    rows = torch.cat([model_input] * len(state.embeddings))
    predicted = state.pipeline.unet(
        rows, timestep, encoder_hidden_states=state.embeddings, return_dict=False
    )[0]
    if len(predicted) == 2:
        negative, positive = predicted.chunk(2)
        predicted = negative + state.request.guidance * (positive - negative)
    state.last_input, state.last_prediction = model_input, predicted
    state.latents = state.scheduler.step(
        predicted, timestep, state.latents, **state.step_options, return_dict=False
    )[0]
    state.calls += 1


@torch.inference_mode()
def decode(state: Denoising) -> npt.NDArray[np.uint8]:
    """The finished picture, uint8 [height, width, 3]."""
    vae = state.pipeline.vae
    picture = vae.decode(state.latents / vae.config.scaling_factor, return_dict=False)[0][0]
    return to_pixels(picture.permute(1, 2, 0).float().cpu())


@torch.inference_mode()
def preview(state: Denoising) -> npt.NDArray[np.uint8]:
    """What the picture is going to be, by the last call; uint8, one pixel a latent cell."""
    return render_preview(_predicted_original(state), state.pipeline.colours)


def _predicted_original(state: Denoising) -> torch.Tensor:
    """The clean latents that the last call implies: x0 of Salimans & Ho 2022 (arXiv:2202.00512),
    section 4, where the model's input is sqrt(a) x0 + sqrt(1 - a) noise."""
    if state.last_input is None or state.last_prediction is None:
        return state.latents
    kind = state.scheduler.config.prediction_type
    if kind == "sample":
        return state.last_prediction
    timestep = round(float(state.scheduler.timesteps[state.calls - 1]))
    alpha = state.scheduler.alphas_cumprod[timestep].clamp(min=1e-4)
    signal, noise = float(alpha.sqrt()), float((1 - alpha).sqrt())
    if kind == "v_prediction":
        return signal * state.last_input - noise * state.last_prediction
    return (state.last_input - noise * state.last_prediction) / signal


def _step_options(scheduler: Any, generator: torch.Generator) -> dict[str, Any]:
    accepted = inspect.signature(scheduler.step).parameters
    options: dict[str, Any] = {"eta": 0.0, "generator": generator}
    return {name: value for name, value in options.items() if name in accepted}
