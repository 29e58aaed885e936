"""Pipelines with random weights, shaped like SD 1.5 and SDXL, made in the accelerator's memory.

What a step costs depends on the shapes alone, so nothing has to be downloaded. The tiny ones have
the same structure and draw on any machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from inference.export.parts import CHUNK_TOKENS
from inference.pipelines.loading import FULL_PRECISION_VAE, Model, suspend_parts
from inference.pipelines.preview import fit_latent_colours

TOKENIZER = Path(__file__).parents[1] / "inference" / "demo_model" / "tokenizer"
VOCABULARY = 49408
SIZES = 6


@dataclass(frozen=True)
class Shape:
    """`side` is in pixels, `cells` in latent cells. `encoders` are (width, layers, heads)."""

    family: str
    side: int
    cells: int
    unet: dict[str, Any]
    encoders: tuple[tuple[int, int, int], ...]
    vae_widths: tuple[int, ...]


XL_BLOCKS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "use_linear_projection": True,
}
SD15 = Shape(
    family="sd15",
    side=512,
    cells=64,
    unet={"cross_attention_dim": 768, "attention_head_dim": 8},
    encoders=((768, 12, 12),),
    vae_widths=(128, 256, 512, 512),
)
SDXL = Shape(
    family="sdxl",
    side=1024,
    cells=128,
    unet={
        **XL_BLOCKS,
        "block_out_channels": (320, 640, 1280),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "addition_time_embed_dim": 256,
    },
    encoders=((768, 12, 12), (1280, 32, 20)),
    vae_widths=(128, 256, 512, 512),
)
TINY_UNET = {"norm_num_groups": 8, "layers_per_block": 1, "attention_head_dim": 4}
SHAPES = {"sd15": SD15, "sdxl": SDXL}
TINY_SHAPES = {
    "sd15": replace(
        SD15,
        side=64,
        cells=8,
        unet={**TINY_UNET, "block_out_channels": (16, 16, 32, 32), "cross_attention_dim": 32},
        encoders=((32, 2, 4),),
        vae_widths=(16, 16, 16, 16),
    ),
    "sdxl": replace(
        SDXL,
        side=64,
        cells=8,
        unet={
            **XL_BLOCKS,
            **TINY_UNET,
            "block_out_channels": (16, 16, 32),
            "cross_attention_dim": 64,
            "addition_time_embed_dim": 8,
        },
        encoders=((32, 2, 4), (32, 2, 4)),
        vae_widths=(16, 16, 16, 16),
    ),
}


def make_model(name: str, shape: Shape, device: torch.device, dtype: torch.dtype) -> Model:
    """A model as the engine's loader returns it."""
    torch.manual_seed(0)
    with made_as(device, dtype):
        components = _encoders(shape) | {"unet": _unet(shape)}
    vae_dtype = torch.float32 if shape.family in FULL_PRECISION_VAE else dtype
    with made_as(device, vae_dtype):
        components["vae"] = _vae(shape)
    for part in components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    scheduler: Any = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    model = Model(
        identity=name,
        family=shape.family,
        components={**components, "feature_extractor": None, "image_encoder": None},
        scheduler_config=dict(scheduler.config),
        colours=fit_latent_colours(components["vae"]),
        vae_scale=shape.side // shape.cells,
        native_side=shape.side,
        device=device,
        dtype=dtype,
        options={"force_zeros_for_empty_prompt": True} if shape.family == "sdxl" else {},
    )
    suspend_parts(model.identity, model.components)
    return model


def fresh(model: Model) -> Model:
    """The same weights with every part's own methods, suspended anew: no runner is left in them."""
    for part in model.components.values():
        if isinstance(part, torch.nn.Module):
            for method in ("forward", "encode", "decode"):
                vars(part).pop(method, None)
    suspend_parts(model.identity, model.components)
    return replace(model)


@contextmanager
def made_as(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """New parameters are of this type, on this device."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)


def _unet(shape: Shape) -> Any:
    config: dict[str, Any] = {"sample_size": shape.cells, **shape.unet}
    if "addition_time_embed_dim" in config:
        sizes = SIZES * config["addition_time_embed_dim"]
        config["addition_embed_type"] = "text_time"
        config["projection_class_embeddings_input_dim"] = shape.encoders[-1][0] + sizes
    return UNet2DConditionModel(**config)


def _vae(shape: Shape) -> Any:
    blocks = len(shape.vae_widths)
    return AutoencoderKL(
        sample_size=shape.side,
        block_out_channels=shape.vae_widths,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=2 if shape.vae_widths[0] > 16 else 1,
        norm_num_groups=32 if shape.vae_widths[0] > 16 else 8,
        force_upcast=False,
    )


def _encoders(shape: Shape) -> dict[str, Any]:
    """Tokenizers and text encoders, the first without and the second with a projection."""
    made: dict[str, Any] = {}
    for suffix, (width, layers, heads) in zip(("", "_2"), shape.encoders, strict=False):
        tokenizer = CLIPTokenizer.from_pretrained(
            TOKENIZER, local_files_only=True, model_max_length=CHUNK_TOKENS
        )
        config = CLIPTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        kind: Any = CLIPTextModelWithProjection if suffix else CLIPTextModel
        made[f"tokenizer{suffix}"] = tokenizer
        made[f"text_encoder{suffix}"] = kind(config)
    return made
