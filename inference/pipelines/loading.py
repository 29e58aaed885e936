"""From a Stable Diffusion folder in the diffusers layout to the parts that pictures need.

The parts are loaded one by one, not through StableDiffusionPipeline: its module brings image
processors, LoRA loaders and safety checkers that this engine never uses.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from inference.pipelines.preview import LatentColours, fit_latent_colours

PIPELINE_CLASS = "StableDiffusionPipeline"
transformers_logging.disable_progress_bar()


class LoadError(Exception):
    """The folder is not there, or not a Stable Diffusion pipeline."""


@dataclass(frozen=True)
class Pipeline:
    """A model in memory. `vae_scale` is pixels per latent cell, `native_side` pixels."""

    tokenizer: Any
    text_encoder: Any
    unet: Any
    vae: Any
    scheduler_config: dict[str, Any]
    colours: LatentColours
    vae_scale: int
    native_side: int
    device: torch.device
    dtype: torch.dtype


def load_pipeline(folder: Path, device: torch.device) -> Pipeline:
    """Load a pipeline folder. Weights become FP32 on a CPU and FP16 on an accelerator.

    Raises LoadError when the folder holds no such pipeline.
    """
    check_folder(folder)
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
        text_encoder = CLIPTextModel.from_pretrained(str(folder / "text_encoder"), **options)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", **options)
        vae = AutoencoderKL.from_pretrained(folder / "vae", **options)
        scheduler_config = _read_json(folder / "scheduler" / "scheduler_config.json")
    except (OSError, ValueError, KeyError) as error:
        raise LoadError(f"the model in {folder.name!r} cannot be loaded: {error}") from error
    modules: list[torch.nn.Module] = [text_encoder, unet, vae]
    for module in modules:
        module.to(device).eval().requires_grad_(False)
    vae_scale = 2 ** (len(vae.config.block_out_channels) - 1)
    return Pipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        unet=unet,
        vae=vae,
        scheduler_config=scheduler_config,
        colours=fit_latent_colours(vae),
        vae_scale=vae_scale,
        native_side=int(unet.config.sample_size) * vae_scale,
        device=device,
        dtype=dtype,
    )


def check_folder(folder: Path) -> None:
    """Raises LoadError unless `folder` says that it holds a Stable Diffusion pipeline."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise LoadError(f"there is no model {folder.name!r} here")
    name = _read_json(index).get("_class_name")
    if name != PIPELINE_CLASS:
        raise LoadError(f"the model {folder.name!r} is a {name}, not a {PIPELINE_CLASS}")


def _read_json(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise LoadError(f"{path.name} of the model is not a JSON object")
    return document
