"""The picture codec: a small AutoencoderKL that maps 64 px RGB to 16 x 16 x 4 latents."""

from __future__ import annotations

import logging
import pathlib
import time
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from inference.training import data

log = logging.getLogger(__name__)

_PEAK_RATE = 2e-3
_KL_WEIGHT = 2e-6
_POLISH_RATE = 1e-3
_POLISH_NOISE = 0.05
_BATCH = 32
_WARMUP_STEPS = 100


def build() -> Any:
    """Build the untrained codec; its full-resolution level is narrow, which keeps it cheap."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 48, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=data.SIDE,
    )


def draw_batch(glyphs: Tensor, generator: torch.Generator) -> Tensor:
    """Draw varied pictures [n, 3, 64, 64]: half on white, half on colours and with changed hues."""
    index = torch.randint(0, len(glyphs), (_BATCH,), generator=generator)
    rgba = data.vary(glyphs[index], generator, strength=2.0)
    half = _BATCH // 2
    background = torch.ones(_BATCH, 3)
    background[half:] = torch.rand(half, 3, generator=generator)
    order = torch.randperm(3, generator=generator)
    rgba[half:, :3] = rgba[half:, order]
    return data.composite(rgba, background)


def reconstruction_loss(picture: Tensor, target: Tensor) -> Tensor:
    """Absolute error of the pixels plus that of their differences, which keeps edges sharp."""
    error = picture.float() - target
    across = error[..., :, 1:] - error[..., :, :-1]
    down = error[..., 1:, :] - error[..., :-1, :]
    return (
        error.abs().mean() + 0.5 * (across.abs().mean() + down.abs().mean()) + error.square().mean()
    )


def learning_rate(peak: float, progress: float, step: int, warmup: int) -> float:
    """Linear warm-up over `warmup` steps, then a cosine to 1 % of the peak at progress 1."""
    cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * min(progress, 1.0))).item())
    return peak * min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * cosine)


def train_step(vae: Any, optimizer: torch.optim.Optimizer, pictures: Tensor) -> float:
    """Do one optimizer step on pictures [n, 3, 64, 64]; returns the loss."""
    with torch.autocast(pictures.device.type, dtype=torch.bfloat16):
        posterior = vae.encode(pictures).latent_dist
        decoded = vae.decode(posterior.sample()).sample
    loss = reconstruction_loss(decoded, pictures) + _KL_WEIGHT * posterior.kl().float().mean()
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
    optimizer.step()
    return float(loss.item())


def train(glyphs: Tensor, seconds: float, checkpoint: pathlib.Path, device: str = "cpu") -> Any:
    """Train on rendered glyphs [n, 4, 136, 136] for a wall-clock budget; resumes a checkpoint."""
    vae = build().to(device)
    optimizer = torch.optim.AdamW(vae.parameters(), _PEAK_RATE, betas=(0.9, 0.99), fused=True)
    elapsed, step = 0.0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        elapsed, step = state["elapsed"], state["step"]
    generator = torch.Generator().manual_seed(step)
    mean_loss, started = 0.0, time.monotonic() - elapsed
    while (elapsed := time.monotonic() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(_PEAK_RATE, elapsed / seconds, step, _WARMUP_STEPS)
        loss = train_step(vae, optimizer, draw_batch(glyphs, generator).to(device))
        mean_loss = loss if mean_loss == 0 else 0.98 * mean_loss + 0.02 * loss
        step += 1
        if step % 100 == 0:
            log.info("vae step %d, %.0f s, loss %.4f", step, elapsed, mean_loss)
            save(checkpoint, vae, optimizer, elapsed, step)
    save(checkpoint, vae, optimizer, seconds, step)
    return finish(vae.cpu().eval(), glyphs)


def save(
    path: pathlib.Path,
    vae: Any,
    optimizer: torch.optim.Optimizer,
    elapsed: float,
    step: int,
) -> None:
    """Write a resumable checkpoint, replacing the last one whole."""
    state = {
        "vae": vae.state_dict(),
        "optimizer": optimizer.state_dict(),
        "elapsed": elapsed,
        "step": step,
    }
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


@torch.no_grad()
def encode(vae: Any, pictures: Tensor) -> Tensor:
    """Encode pictures [n, 3, 64, 64] in -1..1 to scaled latents [n, 4, 16, 16]."""
    parts = [vae.encode(part).latent_dist.mean for part in torch.split(pictures, 64)]
    return torch.cat(parts) * float(vae.config.scaling_factor)


@torch.no_grad()
def whiten(vae: Any, pictures: Tensor) -> None:
    """Give each latent channel of the pictures [n, 3, 64, 64] zero mean and unit variance.

    Folded into the two 1 x 1 convolutions around the latents, so that the codec as a whole
    computes what it did, and a pipeline needs no shift and no scale.
    """
    latents = encode(vae, pictures)
    centre, spread = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    count = len(centre)
    before, after = vae.quant_conv, vae.post_quant_conv
    after.bias += after.weight[:, :, 0, 0] @ centre
    after.weight *= spread[None, :, None, None]
    before.bias[:count] = (before.bias[:count] - centre) / spread
    before.bias[count:] -= 2 * spread.log()
    before.weight[:count] /= spread[:, None, None, None]


def polish(vae: Any, glyphs: Tensor, seconds: float, device: str = "cpu") -> Any:
    """Sharpen the decoder alone; the latents, which the denoiser knows, stay what they are.

    A little noise on the latents makes it forgive the denoiser's small errors.
    """
    vae.to(device).requires_grad_(False)
    weights = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights, _POLISH_RATE, betas=(0.9, 0.99), fused=True)
    generator = torch.Generator().manual_seed(0)
    started, step = time.monotonic(), 0
    while (elapsed := time.monotonic() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(_POLISH_RATE, elapsed / seconds, step, _WARMUP_STEPS)
        pictures = draw_batch(glyphs, generator).to(device)
        with torch.autocast(pictures.device.type, dtype=torch.bfloat16):
            latents = encode(vae, pictures).float()
            noisy = latents + _POLISH_NOISE * torch.randn_like(latents)
            decoded = vae.decode(noisy).sample
        loss = reconstruction_loss(decoded, pictures)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            log.info("polish step %d, %.0f s, loss %.4f", step, elapsed, loss.item())
    return vae.cpu()


def finish(vae: Any, glyphs: Tensor) -> Any:
    """Whiten the latents of the glyphs [n, 4, 136, 136] and log how well they are kept."""
    pictures = data.canonical(glyphs)
    vae.register_to_config(scaling_factor=1.0)
    whiten(vae, pictures)
    with torch.no_grad():
        decoded = torch.cat([vae(part).sample for part in torch.split(pictures, 64)])
    error = F.mse_loss(decoded, pictures) / 4
    log.info("codec keeps the pictures at %.1f dB", -10 * error.log10())
    return vae
