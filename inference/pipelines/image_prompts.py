"""Pictures as prompts: IP-Adapters (Ye et al. 2023, arXiv:2308.06721), by diffusers' own loader."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import CLIPVisionModelWithProjection

from inference.pipelines.calls import Kind
from inference.pipelines.images import read_image, require_file
from inference.pipelines.loading import Model
from inference.pipelines.networks import NetworkKind, load_network
from inference.pipelines.picture import aside
from inference.pipelines.request import ImagePrompt, InvalidRequest, Request

WEIGHTS = "ip_adapter.safetensors"
ENCODER = "image_encoder"
IMAGE_ENCODER = NetworkKind(CLIPVisionModelWithProjection, Kind.SIDE)
# Adapters by a weight that only they have: their first projection, and which width of the image
# encoder goes in. Others (FaceID) want faces recognised by a network of another kind.
PROJECTIONS = {
    "image_proj.proj.weight": ("image_proj.proj.weight", "projection_dim"),
    "image_proj.proj.3.weight": ("image_proj.proj.0.weight", "hidden_size"),
    "image_proj.latents": ("image_proj.proj_in.weight", "hidden_size"),
}
BROKEN = (OSError, ValueError, KeyError, RuntimeError)


def load_image_prompts(
    pipeline: Any, model: Model, prompts: Sequence[ImagePrompt], folders: Sequence[Path]
) -> None:
    """Load IP-Adapters into a pipeline, each with its weight; its UNet changes, and it gets the
    image encoder that they share.

    Raises InvalidRequest for an adapter that does not fit the UNet, or the others.
    """
    if not prompts:
        return
    places = [f"image_prompts.{number}.name" for number in range(len(prompts))]
    encoder: Any = _load_encoder(model, folders, places)
    for where, folder in zip(places, folders, strict=True):
        _check_shapes(pipeline.unet, encoder.config, folder, f"{where}: {folder.name!r}")
    pipeline.register_modules(image_encoder=encoder)
    try:
        pipeline.load_ip_adapter(
            [str(folder) for folder in folders],
            subfolder="",
            weight_name=[WEIGHTS] * len(folders),
            local_files_only=True,
        )
    except torch.OutOfMemoryError:
        raise
    except BROKEN as error:
        raise InvalidRequest(f"image_prompts: they cannot be loaded: {error}") from error
    pipeline.set_ip_adapter_scale([prompt.weight for prompt in prompts])


def image_prompt_arguments(request: Request, files: Sequence[bytes]) -> dict[str, Any]:
    """What a pipeline's call gets for the pictures, one an adapter, of any sides."""
    pictures = [
        aside(read_image, require_file(files, prompt.image, where), where)
        for where, prompt in _places(request)
    ]
    return {"ip_adapter_image": pictures} if pictures else {}


def check_image_prompts(request: Request, files: Sequence[bytes]) -> None:
    """Raises InvalidRequest for one that lacks its picture."""
    for where, prompt in _places(request):
        require_file(files, prompt.image, where)


def _places(request: Request) -> list[tuple[str, ImagePrompt]]:
    prompts = enumerate(request.image_prompts)
    return [(f"image_prompts.{number}.image", prompt) for number, prompt in prompts]


def _load_encoder(model: Model, folders: Sequence[Path], places: Sequence[str]) -> torch.nn.Module:
    """Diffusers knows one image encoder a pipeline, so all adapters must have been made with it."""
    first = folders[0]
    for where, folder in zip(places, folders, strict=True):
        if _encoder_mark(folder, where) != _encoder_mark(first, where):
            raise InvalidRequest(
                f"{where}: {folder.name!r} has another image encoder than {first.name!r}"
            )
    return load_network(IMAGE_ENCODER, first / ENCODER, model, places[0])


def _encoder_mark(folder: Path, where: str) -> tuple[str, tuple[int, ...]]:
    """Configuration and sizes of the weight files."""
    config = folder / ENCODER / "config.json"
    if not config.is_file():
        raise InvalidRequest(f"{where}: {folder.name!r} has no {ENCODER}")
    sizes = sorted(file.stat().st_size for file in config.parent.glob("*.safetensors"))
    return config.read_text(encoding="utf-8"), tuple(sizes)


def _check_shapes(unet: Any, encoder: Any, folder: Path, what: str) -> None:
    shapes = _shapes(folder / WEIGHTS, what)
    kind = next((mark for mark in PROJECTIONS if mark in shapes), None)
    if kind is None:
        raise InvalidRequest(f"{what} is an IP-Adapter of a kind that is not supported")
    projection, side = PROJECTIONS[kind]
    width = getattr(encoder, side)
    if shapes.get(projection, (0, 0))[1] != width:
        raise InvalidRequest(f"{what} does not fit its own image encoder of {width} numbers")
    wanted = _key_shapes(unet)
    found = [
        shapes[name] for name in sorted(shapes, key=_number) if name.endswith("to_k_ip.weight")
    ]
    if found != wanted:
        raise InvalidRequest(f"{what} is made for another base: its layers are not this model's")


def _shapes(file: Path, what: str) -> Mapping[str, tuple[int, ...]]:
    try:
        with safe_open(file, framework="pt") as tensors:
            return {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}
    except (OSError, SafetensorError) as error:
        raise InvalidRequest(f"{what} has no readable {WEIGHTS}: {error}") from error


def _number(name: str) -> int:
    """Layers are numbered in the order of the UNet's attention processors: ip_adapter.1, .3 ..."""
    digits = name.split(".")[1]
    return int(digits) if digits.isdecimal() else 0


def _key_shapes(unet: Any) -> list[tuple[int, ...]]:
    """The shapes of the cross-attentions' key projections, in the order of the processors."""
    return [
        (_width(unet, name), int(unet.config.cross_attention_dim))
        for name in unet.attn_processors
        if not name.endswith("attn1.processor")
    ]


def _width(unet: Any, processor: str) -> int:
    attention: Any = unet.get_submodule(processor.removesuffix(".processor"))
    return int(attention.to_k.weight.shape[0])
