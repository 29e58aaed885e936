"""Random adapters for the tiny pipelines: LoRAs, ControlNets and IP-Adapters, as folders."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from inference.pipelines.loading import Model
from inference.pipelines.sharing import copy_sharing_weights

RANK, PICTURE_SIDE, HIDDEN, PROJECTED = 4, 32, 32, 24
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT = ["q_proj", "v_proj", "out_proj"]
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


def save_kohya_lora(folder: Path, source: Path, alpha: float) -> None:
    """The LoRA of another folder as kohya's scripts spell it, of another scale (by RANK)."""
    write_card(folder, "lora", "sd15")
    tensors = {}
    for key, value in load_file(source / "pytorch_lora_weights.safetensors").items():
        part, layer = key.split(".", 1)
        layer, matrix, _ = layer.rsplit(".", 2)
        start = {"unet": "lora_unet", "text_encoder": "lora_te_text_model"}[part]
        name = f"{start}_{layer.removeprefix('text_model.').replace('.', '_')}"
        down_or_up = {"lora_A": "lora_down", "lora_B": "lora_up"}[matrix]
        tensors[f"{name}.{down_or_up}.weight"] = value
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
    save_file(tensors, folder / "kohya.safetensors")


def save_ip_adapter(
    model: Model, folder: Path, seed: int, projected: int = PROJECTED, *, plus: bool = False
) -> None:
    """An IP-Adapter with an image encoder of its own. `plus`: of the kind that reads its hidden
    states."""
    write_card(folder, "ip_adapter", model.family)
    torch.manual_seed(0)
    make_image_encoder(projected).save_pretrained(folder / "image_encoder")
    torch.manual_seed(seed)
    width = int(model.denoiser.config.cross_attention_dim)
    tensors = make_resampler(width) if plus else make_projection(width, projected)
    cross = [n for n in model.denoiser.attn_processors if n.endswith("attn2.processor")]
    for number, name in enumerate(cross):
        attention: Any = model.denoiser.get_submodule(name.removesuffix(".processor"))
        for kind in ("to_k_ip", "to_v_ip"):
            shape = attention.to_k.weight.shape
            tensors[f"ip_adapter.{2 * number + 1}.{kind}.weight"] = torch.randn(shape) * SPREAD
    save_file(tensors, folder / "ip_adapter.safetensors")


def make_projection(width: int, projected: int) -> dict[str, torch.Tensor]:
    """Four tokens of what the image encoder projects."""
    return {
        "image_proj.proj.weight": torch.randn(4 * width, projected),
        "image_proj.proj.bias": torch.randn(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }


def make_resampler(width: int) -> dict[str, torch.Tensor]:
    """Five tokens by four layers of attention to the image encoder's hidden states."""
    hidden, heads = 16, 64
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, 5, hidden),
        "proj_in.weight": (hidden, HIDDEN),
        "proj_in.bias": (hidden,),
        "proj_out.weight": (width, hidden),
        "proj_out.bias": (width,),
        "norm_out.weight": (width,),
        "norm_out.bias": (width,),
    }
    for number in range(4):
        for name in ("0.norm1", "0.norm2", "1.0"):
            shapes[f"layers.{number}.{name}.weight"] = (hidden,)
            shapes[f"layers.{number}.{name}.bias"] = (hidden,)
        shapes[f"layers.{number}.0.to_q.weight"] = (heads, hidden)
        shapes[f"layers.{number}.0.to_kv.weight"] = (2 * heads, hidden)
        shapes[f"layers.{number}.0.to_out.weight"] = (hidden, heads)
        shapes[f"layers.{number}.1.1.weight"] = (4 * hidden, hidden)
        shapes[f"layers.{number}.1.3.weight"] = (hidden, 4 * hidden)
    return {f"image_proj.{name}": torch.randn(shape) for name, shape in shapes.items()}


def make_image_encoder(projected: int) -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=HIDDEN,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=PICTURE_SIDE,
            patch_size=8,
            projection_dim=projected,
        )
    )
