"""Random adapters for the tiny pipelines: LoRAs, ControlNets and IP-Adapters, as folders."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from inference.pipelines.loading import Model
from inference.pipelines.sharing import copy_sharing_weights

RANK, PICTURE_SIDE, PROJECTED = 4, 32, 24
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT = ["q_proj", "v_proj"]
# The wider ones change pictures by more than rounding does.
SPREAD = 0.2


def write_card(folder: Path, kind: str, base: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "easel.json").write_text(json.dumps({"kind": kind, "base": base}))


def save_lora(
    model: Model,
    folder: Path,
    seed: int,
    parts: Iterable[str] = ("unet", "text_encoder"),
    dtype: torch.dtype = torch.float32,
) -> None:
    """A LoRA of random numbers for these parts of a model, in diffusers' present spelling."""
    write_card(folder, "lora", model.family)
    torch.manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name in parts:
        targets = TEXT if name.startswith("text_encoder") else ATTENTION
        part = copy_sharing_weights(model.components[name])
        inject_adapter_in_model(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets), part)
        state = get_peft_model_state_dict(part)
        tensors |= {
            f"{name}.{key}": (torch.randn(value.shape) * SPREAD).to(dtype)
            for key, value in state.items()
        }
    save_file(tensors, folder / "pytorch_lora_weights.safetensors")


def save_controlnet(model: Model, folder: Path, seed: int) -> None:
    """A ControlNet of the model's UNet whose last layers, zero when training begins, are not."""
    write_card(folder, "controlnet", model.family)
    torch.manual_seed(seed)
    controlnet = ControlNetModel.from_unet(
        model.denoiser, conditioning_embedding_out_channels=(8, 16, 16)
    )
    for name, weight in controlnet.named_parameters():
        if not bool(weight.any()) and name.endswith("weight"):
            torch.nn.init.normal_(weight, std=SPREAD)
    controlnet.save_pretrained(folder)


def save_ip_adapter(model: Model, folder: Path, seed: int, projected: int = PROJECTED) -> None:
    """An IP-Adapter of four image tokens with an image encoder of its own."""
    write_card(folder, "ip_adapter", model.family)
    torch.manual_seed(0)
    make_image_encoder(projected).save_pretrained(folder / "image_encoder")
    torch.manual_seed(seed)
    width = int(model.denoiser.config.cross_attention_dim)
    tensors = {
        "image_proj.proj.weight": torch.randn(4 * width, projected),
        "image_proj.proj.bias": torch.randn(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    cross = [n for n in model.denoiser.attn_processors if n.endswith("attn2.processor")]
    for number, name in enumerate(cross):
        attention: Any = model.denoiser.get_submodule(name.removesuffix(".processor"))
        for kind in ("to_k_ip", "to_v_ip"):
            shape = attention.to_k.weight.shape
            tensors[f"ip_adapter.{2 * number + 1}.{kind}.weight"] = torch.randn(shape) * SPREAD
    save_file(tensors, folder / "ip_adapter.safetensors")


def make_image_encoder(projected: int) -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=PICTURE_SIDE,
            patch_size=8,
            projection_dim=projected,
        )
    )
