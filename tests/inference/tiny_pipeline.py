"""Makes a Stable Diffusion folder with random weights, small enough for tests: 64 px pictures.

`python tests/inference/tiny_pipeline.py FOLDER` does it for tests that run without torch.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WIDTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"


def save_tiny_pipeline(folder: Path, prediction_type: str = "epsilon") -> None:
    """Write the same random pipeline every time; its weights are stored as FP16."""
    save(folder, StableDiffusionPipeline, prediction_type=prediction_type)


def save_tiny_inpainting(folder: Path) -> None:
    """The same with a UNet that takes the mask and the masked image, too."""
    save(folder, StableDiffusionInpaintPipeline, in_channels=9)


def save(
    folder: Path, kind: Any, *, prediction_type: str = "epsilon", in_channels: int = 4
) -> None:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    pipeline: Any = kind(
        vae=make_vae(),
        text_encoder=make_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=make_unet(in_channels=in_channels),
        scheduler=make_scheduler(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder)


def save_tiny_upscaler(folder: Path) -> None:
    """The x4 upscaler: the small image goes into the UNet beside the latents."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    pipeline: Any = StableDiffusionUpscalePipeline(
        vae=make_vae(scaling_factor=0.08333),
        text_encoder=make_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=make_unet(in_channels=7, num_class_embeds=350),
        low_res_scheduler=DDPMScheduler(),
        scheduler=make_scheduler("v_prediction"),
        max_noise_level=350,
    )
    pipeline.to(torch.float16).save_pretrained(folder)


def make_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that knows bytes and no merges."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), START, END]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77
    )


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    ids = tokenizer.get_vocab()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(ids),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            bos_token_id=ids[START],
            eos_token_id=ids[END],
            pad_token_id=ids[END],
        )
    )


def make_unet(**changes: Any) -> UNet2DConditionModel:
    shape: dict[str, Any] = {
        "sample_size": 16,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**shape | changes)


def make_vae(scaling_factor: float = 0.18215) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=64,
        block_out_channels=(16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        scaling_factor=scaling_factor,
    )


def make_scheduler(prediction_type: str) -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


if __name__ == "__main__":
    save_tiny_pipeline(Path(sys.argv[1]))
