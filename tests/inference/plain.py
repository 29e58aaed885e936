"""Diffusers' own pipelines, loaded and called as its documentation says: what ours must equal."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch

from inference.pipelines.request import Request
from inference.pipelines.schedulers import make_scheduler


@dataclass(frozen=True)
class Plain:
    """What diffusers draws: `latents` as the VAE gets them, `pixels` uint8."""

    latents: torch.Tensor
    pixels: npt.NDArray[np.uint8]


@cache
def load_plain(folder: Path, class_name: str) -> Any:
    pipeline = getattr(diffusers, class_name).from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler_config = dict(pipeline.scheduler.config)
    return pipeline


def draw_plain(folder: Path, class_name: str, wanted: Request, **arguments: Any) -> Plain:
    """`arguments` are those of the task; an empty negative prompt is none."""
    pipeline = load_plain(folder, class_name)
    pipeline.scheduler = make_scheduler(wanted.scheduler, pipeline.scheduler_config)
    decoded: list[torch.Tensor] = []
    handle = watch_decoder(pipeline.vae, decoded)
    try:
        images = pipeline(
            prompt=wanted.prompt,
            negative_prompt=wanted.negative_prompt or None,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance,
            generator=torch.Generator().manual_seed(wanted.seed),
            output_type="np",
            **arguments,
        ).images
    finally:
        handle.remove()
    return Plain(decoded[0], (images[0] * 255).round().astype(np.uint8))


def watch_decoder(vae: Any, decoded: list[torch.Tensor]) -> Any:
    def note(_: Any, given: tuple[torch.Tensor, ...]) -> None:
        decoded.append(given[0])

    return vae.post_quant_conv.register_forward_pre_hook(note)
