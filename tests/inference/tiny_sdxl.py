"""Makes a Stable Diffusion XL folder with random weights, small enough for tests."""

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from tests.inference.tiny_pipeline import (
    WIDTH,
    make_scheduler,
    make_text_encoder,
    make_tokenizer,
    make_unet,
    make_vae,
)

TIME_WIDTH, SIZES = 8, 6


def save_tiny_sdxl(folder: Path, *, is_inpainting: bool = False) -> None:
    """Write the same random pipeline every time; `is_inpainting`: with a UNet of 9 channels."""
    torch.manual_seed(0)
    kind: Any = StableDiffusionXLInpaintPipeline if is_inpainting else StableDiffusionXLPipeline
    pipeline: Any = kind(
        vae=make_vae(scaling_factor=0.13025),
        tokenizer=make_tokenizer(),
        text_encoder=make_text_encoder(make_tokenizer()),
        tokenizer_2=make_second_tokenizer(),
        text_encoder_2=make_second_encoder(make_tokenizer()),
        unet=make_wide_unet(in_channels=9 if is_inpainting else 4),
        scheduler=make_scheduler("epsilon"),
        add_watermarker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder)


def make_wide_unet(in_channels: int) -> Any:
    return make_unet(
        in_channels=in_channels,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_WIDTH,
        projection_class_embeddings_input_dim=TIME_WIDTH * SIZES + WIDTH,
    )


def make_second_tokenizer() -> CLIPTokenizer:
    """Pads with an exclamation mark, as SDXL's second tokenizer does."""
    tokenizer = make_tokenizer()
    tokenizer.pad_token = "!"
    return tokenizer


def make_second_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    config: CLIPTextConfig = make_text_encoder(tokenizer).config
    config.projection_dim = WIDTH
    return CLIPTextModelWithProjection(config)
