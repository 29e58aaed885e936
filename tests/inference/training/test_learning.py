import random

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from inference.training import captions, data, diffusion, tokenizer, vae


def test_the_denoiser_learns_a_small_set() -> None:
    torch.manual_seed(0)
    items = data.load_vocabulary()[:4]
    words = tokenizer.build(captions.corpus(items))
    flat = torch.randn(4, 1, 4, 1, 1).expand(-1, -1, -1, 16, 16)
    latents = diffusion.LatentSet(items, flat, flat, [["blue"]] * 4)
    model = diffusion.Denoiser(words, channels=(16, 32, 32))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = DDPMScheduler(**diffusion.BETAS, prediction_type="v_prediction")
    dice = random.Random(0)
    clean, tokens = diffusion.draw_batch(latents, words, dice, size=4)
    before = _mean_loss(model, schedule, clean, tokens)
    for _ in range(30):
        diffusion.train_step(model, optimizer, schedule, clean, tokens)
    assert _mean_loss(model, schedule, clean, tokens) < 0.8 * before


@torch.no_grad()
def _mean_loss(
    model: diffusion.Denoiser, schedule: DDPMScheduler, clean: torch.Tensor, tokens: torch.Tensor
) -> float:
    torch.manual_seed(1)
    many, repeated = clean.repeat(16, 1, 1, 1), tokens.repeat(16, 1)
    return diffusion.velocity_loss(model, schedule, many, repeated).item()


def test_a_codec_step_lowers_its_loss() -> None:
    torch.manual_seed(0)
    codec = vae.build()
    optimizer = torch.optim.AdamW(codec.parameters(), 1e-3)
    pictures = torch.rand(4, 3, 64, 64) * 2 - 1
    losses = [vae.train_step(codec, optimizer, pictures) for _ in range(5)]
    assert losses[-1] < losses[0]


def test_whitening_changes_the_latents_and_not_the_codec() -> None:
    torch.manual_seed(0)
    codec = vae.build().eval()
    codec.register_to_config(scaling_factor=1.0)
    pictures = torch.rand(8, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = codec(pictures).sample
        vae.whiten(codec, pictures)
        after = codec(pictures).sample
    latents = vae.encode(codec, pictures)
    assert torch.allclose(before, after, atol=1e-4)
    assert torch.allclose(latents.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-3)
    assert torch.allclose(latents.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3)


def test_the_rate_warms_up_and_decays() -> None:
    rates = [vae.learning_rate(1.0, step / 100, step, warmup=10) for step in range(101)]
    assert rates[0] < rates[5] < rates[10]
    assert rates[10] > rates[50] > rates[100]
    assert abs(rates[100] - 0.01) < 1e-6
