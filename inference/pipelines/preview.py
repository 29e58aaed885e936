"""Cheap previews: latent cells to colours by one small linear map, fitted to the model's VAE."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from inference.pipelines.steps import Steps

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
        scaled = _unscale(latents, vae.config).to(parameter.device, parameter.dtype)
        pictures = vae.decode(scaled, return_dict=False)[0].float().cpu()
        cells = torch.nn.functional.adaptive_avg_pool2d(pictures, latents.shape[-1])
        known = latents.permute(0, 2, 3, 1).reshape(-1, channels)
        known = torch.cat([known, torch.ones(len(known), 1)], dim=1)
        wanted = cells.permute(0, 2, 3, 1).reshape(-1, 3)
        solution = torch.linalg.lstsq(known, wanted).solution
    return LatentColours(matrix=solution[:channels], bias=solution[channels])


def _unscale(latents: torch.Tensor, config: Any) -> torch.Tensor:
    """Latents as the VAE takes them: each pipeline of diffusers does this before it decodes."""
    factor, shift = float(config.scaling_factor), float(getattr(config, "shift_factor", None) or 0)
    mean, deviation = (getattr(config, f"latents_{name}", None) for name in ("mean", "std"))
    if mean is None or deviation is None:
        return latents / factor + shift
    rows = torch.tensor([mean, deviation]).reshape(2, 1, -1, 1, 1)
    return latents * rows[1] / factor + rows[0]


def render_preview(latents: torch.Tensor, colours: LatentColours) -> npt.NDArray[np.uint8]:
    """Latents [1, channels, h, w] (clean, scaled to unit variance) -> colours uint8 [h, w, 3]."""
    cells = latents[0].float().cpu().permute(1, 2, 0)
    picture = (cells @ colours.matrix + colours.bias) / 2 + 0.5
    return np.ascontiguousarray(picture.clamp(0, 1).mul(255).round().to(torch.uint8).numpy())


def predict_original(steps: Steps) -> torch.Tensor | None:
    """The clean latents that the last step implies: x0 of Salimans & Ho 2022 (arXiv:2202.00512),
    section 4, where the model's input is sqrt(a) x0 + sqrt(1 - a) noise; where it is
    (1 - s) x0 + s noise and the model predicts its flow, x0 of Lipman et al. 2023
    (arXiv:2210.02747). [1, channels, h, w]; None before a step."""
    if steps.last_input is None or steps.last_prediction is None:
        return None
    return steps.unpack(_predict(steps, steps.last_input[:1], steps.last_prediction))


def _predict(steps: Steps, given: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    config = steps.scheduler.config
    kind = config.get("prediction_type", "flow_prediction")
    if kind == "sample":
        return predicted
    if kind == "flow_prediction":
        return given - float(steps.last_timestep) / int(config.num_train_timesteps) * predicted
    alpha = steps.scheduler.alphas_cumprod[round(float(steps.last_timestep))].clamp(min=1e-4)
    signal, noise = float(alpha.sqrt()), float((1 - alpha).sqrt())
    if kind == "v_prediction":
        return signal * given - noise * predicted
    return (given - noise * predicted) / signal
