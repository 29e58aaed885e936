"""What is different in Flux: flow matching, packed latents, words for T5, guidance as an input.

Words go to both encoders as they are written: weights in brackets and BREAK are text to T5, which
reads sentences. CLIP sees the first 75 tokens and gives one vector; T5 gives the words.
"""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import FluxPipeline
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from inference.pipelines.loading import Model
from inference.pipelines.request import InvalidRequest, Request

FAMILY = "flux"
# The transformer sees latents two by two, of 8 pixels each.
SIDE_MULTIPLE_PIXELS = 16
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
SCHEDULERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "euler": (FlowMatchEulerDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, FLOW),
    "unipc": (UniPCMultistepScheduler, FLOW),
}
# T5 tokens that the models were trained with: FLUX.1-dev (with guidance), FLUX.1-schnell (without).
GUIDED_TOKENS, UNGUIDED_TOKENS = 512, 256


def make_flow_scheduler(request: Request, config: Mapping[str, Any]) -> Any:
    """A fresh scheduler for one picture. Raises InvalidRequest for one that cannot do this."""
    names = usable_schedulers(request.task, config)
    if request.scheduler not in names:
        raise InvalidRequest(
            f"scheduler: {request.scheduler} cannot follow the straight flow of this Flux model "
            f"from noise to picture in {request.task}; {', '.join(names)} can"
        )
    scheduler_class, overrides = SCHEDULERS[request.scheduler]
    return scheduler_class.from_config(dict(config), **overrides)


def usable_schedulers(task: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that diffusers' Flux pipelines can drive: from an image they ask the scheduler to
    add noise in the way of flows, which is Euler's alone, and DPM++ takes the shift of the noise
    by the picture's size alone, which FLUX.1-schnell does without."""
    if task != "txt2img":
        return ("euler",)
    return tuple(SCHEDULERS) if config.get("use_dynamic_shifting") else ("euler", "unipc")


def check(request: Request) -> None:
    """Raises InvalidRequest for what Flux has no place for."""
    if request.negative_prompt.strip():
        raise InvalidRequest("negative_prompt: Flux is guided without one; say it in the prompt")
    if request.clip_skip:
        raise InvalidRequest("clip_skip: Flux takes its words from T5, not from layers of CLIP")


def steps_from_image(request: Request) -> int:
    """Steps that are left to take: at least one, `get_timesteps` of diffusers' Flux pipelines."""
    skipped = int(max(request.steps - min(request.steps * request.strength, request.steps), 0))
    return request.steps - skipped


def encode_words(model: Model, request: Request, notes: dict[str, Any]) -> dict[str, Any]:
    """What a Flux pipeline's call gets for the prompt, and its sides, which it does not take from
    an image; `notes` gets the T5 tokens.

    Raises InvalidRequest for a prompt that is longer than the model reads.
    """
    guided = bool(model.denoiser.config.guidance_embeds)
    limit = GUIDED_TOKENS if guided else UNGUIDED_TOKENS
    prompt = request.prompt.encode("utf-8", "replace").decode()
    tokens = len(model.components["tokenizer_2"](prompt).input_ids)
    if tokens > limit:
        raise InvalidRequest(f"prompt: {tokens} tokens, and this model reads {limit}")
    notes |= {"prompt_tokens": tokens, "prompt_chunks": 1}
    sides = {"width": request.width, "height": request.height}
    return {"prompt": prompt, "max_sequence_length": limit, **sides}


def unpack(latents: torch.Tensor, request: Request, vae_scale: int) -> torch.Tensor:
    """Packed latents [1, cells / 4, 4 * channels] of a picture as [1, channels, h, w] in cells."""
    sides = (request.height, request.width)
    unpacked: torch.Tensor = FluxPipeline._unpack_latents(latents, *sides, vae_scale)
    return unpacked
