"""Cheap previews: latent cells to colours by one small linear map, fitted to the model's VAE."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

# Nearest-neighbour patches of four equal cells: neighbours agree as they do in real pictures.
FIT_SAMPLES, FIT_PATCHES, FIT_PATCH_CELLS = 8, 4, 2


@dataclass(frozen=True)
class LatentColours:
    """rgb = latent @ matrix + bias; `matrix` is [latent channels, 3], colours run from -1 to 1."""

    matrix: torch.Tensor
    bias: torch.Tensor


def fit_latent_colours(vae: Any) -> LatentColours:
    """The least-squares map from a latent cell to the mean colour that the VAE decodes it to."""
    channels, parameter = vae.config.latent_channels, next(vae.parameters())
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(FIT_SAMPLES, channels, FIT_PATCHES, FIT_PATCHES, generator=generator)
    latents = noise.repeat_interleave(FIT_PATCH_CELLS, 2).repeat_interleave(FIT_PATCH_CELLS, 3)
    with torch.inference_mode():
        scaled = (latents / vae.config.scaling_factor).to(parameter.device, parameter.dtype)
        pictures = vae.decode(scaled, return_dict=False)[0].float().cpu()
        cells = torch.nn.functional.adaptive_avg_pool2d(pictures, latents.shape[-1])
        known = latents.permute(0, 2, 3, 1).reshape(-1, channels)
        known = torch.cat([known, torch.ones(len(known), 1)], dim=1)
        wanted = cells.permute(0, 2, 3, 1).reshape(-1, 3)
        solution = torch.linalg.lstsq(known, wanted).solution
    return LatentColours(matrix=solution[:channels], bias=solution[channels])


def render_preview(latents: torch.Tensor, colours: LatentColours) -> npt.NDArray[np.uint8]:
    """Latents [1, channels, h, w] (clean, scaled to unit variance) -> colours uint8 [h, w, 3]."""
    with torch.inference_mode():
        cells = latents[0].float().cpu().permute(1, 2, 0)
        picture = cells @ colours.matrix + colours.bias
        return to_pixels(picture)


def to_pixels(picture: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Colours from -1 to 1, any shape -> uint8, rounded as diffusers' VaeImageProcessor rounds."""
    scaled = (picture / 2 + 0.5).clamp(0, 1).mul(255).round()
    return np.ascontiguousarray(scaled.to(torch.uint8).numpy())
