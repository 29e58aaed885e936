"""Makes a Flux folder with random weights, small enough for tests: 64 px pictures."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from tests.inference.tiny_pipeline import WIDTH, make_text_encoder, make_tokenizer

LATENT_CHANNELS = 4


def save_tiny_flux(folder: Path, *, guided: bool = True) -> None:
    """Write the same random pipeline every time; `guided`: as FLUX.1-dev, else as -schnell."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    words = make_word_tokenizer()
    pipeline: Any = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0 if guided else 1.0, use_dynamic_shifting=guided
        ),
        vae=make_vae(),
        text_encoder=make_text_encoder(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=make_word_encoder(words),
        tokenizer_2=words,
        transformer=make_transformer(guided),
    )
    pipeline.to(torch.float16).save_pretrained(folder)


def make_word_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer that knows letters and nothing longer."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -1.0)]
    letters = [(letter, -2.0) for letter in sorted(ByteLevel.alphabet())]
    return T5Tokenizer(vocab=special + letters, model_max_length=512, extra_ids=0)


def make_word_encoder(words: T5Tokenizer) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(words), d_model=WIDTH, d_kv=8, d_ff=2 * WIDTH, num_layers=2, num_heads=4
        )
    )


def make_transformer(guided: bool) -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        in_channels=4 * LATENT_CHANNELS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=guided,
        axes_dims_rope=(4, 6, 6),
    )


def make_vae() -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=64,
        block_out_channels=(16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.36,
        shift_factor=0.12,
    )
