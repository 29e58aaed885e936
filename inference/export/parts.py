"""The parts of a pipeline folder that can be exported, each with its tensor contract."""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inference.export.networks import TextEncoder, UNet, VaeDecoder, VaeEncoder
from inference.export.tensors import HEIGHT, TOKENS, WIDTH, Tensor
from inference.pipelines.loading import FULL_PRECISION_VAE

TIMESTEPS = 1000
CHUNK_TOKENS = 77  # a longer prompt is several chunks of as many
SIZE_BELOW = 1025  # SDXL's six sizes are pixels
SIZES = 6


class CannotExport(Exception):
    """The pipeline cannot be exported; the text says why."""


@dataclass(frozen=True, eq=False)
class Part:
    """`height` and `width`, where the inputs have them, are multiples of `multiple`; `native` is
    the side that the model was made for, in cells of this part's input. One that is
    `full_precision` overflows in half precision."""

    name: str
    network: nn.Module = field(repr=False)
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch: int
    multiple: int = 1
    native: int = 0
    full_precision: bool = False

    @property
    def weight_bytes(self) -> int:
        tensors = [*self.network.parameters(), *self.network.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def sides(
        self, height_share: float = 1.0, width_share: float = 1.0, chunks: int = 1
    ) -> dict[str, int]:
        """What varies: sides at a share of the native ones, in whole multiples, and the tokens."""
        shares = {HEIGHT: height_share, WIDTH: width_share}
        return {TOKENS: chunks * CHUNK_TOKENS} | {
            name: max(1, round(self.native * share / self.multiple)) * self.multiple
            for name, share in shares.items()
        }


# Part names of each family, and how each is made of a folder; a part is in memory while it is used.
Makers = Mapping[str, Callable[[], Part]]


def part_makers(folder: Path, family: str) -> Makers:
    """Raises CannotExport for a family that has no tensor contract here."""
    encoders = {"sd15": ("text_encoder",), "sdxl": ("text_encoder", "text_encoder_2")}
    if family not in encoders:
        raise CannotExport(
            f"a pipeline of the family {family} cannot be exported: {', '.join(encoders)} can"
        )
    makers: dict[str, Callable[[], Part]] = {
        name: partial(text_encoder_part, folder, name, penultimate=family == "sdxl")
        for name in encoders[family]
    }
    makers["unet"] = lambda: unet_part(load_part(folder, "unet"))
    for name, decodes in (("vae_decoder", True), ("vae_encoder", False)):
        makers[name] = partial(
            vae_part, folder, decodes=decodes, full_precision=family in FULL_PRECISION_VAE
        )
    return makers


def load_part(folder: Path, name: str) -> Any:
    """One network of a folder, in FP32 on the CPU. Raises CannotExport."""
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    library, class_name = index[name]
    dtype = {"diffusers": "torch_dtype", "transformers": "dtype"}.get(library)
    if dtype is None:
        raise CannotExport(f"{name} is a {class_name} of {library}, which cannot be exported")
    try:
        network = getattr(importlib.import_module(library), class_name).from_pretrained(
            str(folder / name),
            use_safetensors=True,
            local_files_only=True,
            **{dtype: torch.float32},
        )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CannotExport(f"{name} cannot be loaded: {error}") from error
    return network.eval().requires_grad_(False)


def text_encoder_part(folder: Path, name: str, *, penultimate: bool) -> Part:
    encoder = load_part(folder, name)
    config = encoder.config
    pooled = penultimate and hasattr(encoder, "text_projection")
    length, width = config.max_position_embeddings, config.hidden_size
    outputs = [Tensor("hidden_states" if penultimate else "last_hidden_state", (length, width))]
    if pooled:
        outputs.append(Tensor("text_embeds", (config.projection_dim,)))
    return Part(
        name,
        TextEncoder(encoder, penultimate=penultimate, pooled=pooled),
        inputs=(Tensor("input_ids", (length,), "INT64", below=config.vocab_size),),
        outputs=tuple(outputs),
        max_batch=32,
    )


def unet_part(unet: Any) -> Part:
    """The contract of a UNet2DConditionModel. Raises CannotExport for inputs beyond text, and
    SDXL's pooled text and sizes."""
    config = unet.config
    is_sdxl = config.addition_embed_type == "text_time"
    if config.class_embed_type or config.time_cond_proj_dim or config.encoder_hid_dim_type:
        raise CannotExport("the UNet takes class labels, a guidance embedding or image prompts")
    inputs = [
        Tensor("sample", (config.in_channels, HEIGHT, WIDTH)),
        Tensor("timestep", (), below=TIMESTEPS),
        Tensor("encoder_hidden_states", (TOKENS, config.cross_attention_dim)),
    ]
    if is_sdxl:
        pooled = config.projection_class_embeddings_input_dim
        pooled -= SIZES * config.addition_time_embed_dim
        inputs.append(Tensor("text_embeds", (pooled,)))
        inputs.append(Tensor("time_ids", (SIZES,), below=SIZE_BELOW))
    return Part(
        "unet",
        UNet(unet),
        inputs=tuple(inputs),
        outputs=(Tensor("prediction", (config.out_channels, HEIGHT, WIDTH)),),
        max_batch=16,
        multiple=2 ** (len(config.block_out_channels) - 1),
        native=int(config.sample_size),
    )


def vae_part(folder: Path, *, decodes: bool, full_precision: bool) -> Part:
    vae = load_part(folder, "vae")
    config = vae.config
    scale = 2 ** (len(config.block_out_channels) - 1)
    image = Tensor("image", (config.in_channels, HEIGHT, WIDTH))
    latents = (config.latent_channels, HEIGHT, WIDTH)
    unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
    cells = int(unet["sample_size"])
    if decodes:
        return Part(
            "vae_decoder",
            VaeDecoder(vae),
            inputs=(Tensor("latents", latents),),
            outputs=(image,),
            max_batch=4,
            native=cells,
            full_precision=full_precision,
        )
    return Part(
        "vae_encoder",
        VaeEncoder(vae),
        inputs=(image,),
        outputs=(Tensor("mean", latents), Tensor("std", latents)),
        max_batch=4,
        multiple=scale,
        native=cells * scale,
        full_precision=full_precision,
    )
