"""A model with what a request adds to it: LoRAs, ControlNets, IP-Adapters, closed edges.

An adapter is a folder with a card, `easel.json`: {"kind": "lora" | "controlnet" | "ip_adapter",
"base": "sd15" | "sdxl" | "flux"}. A LoRA has one safetensors file beside it, a ControlNet what
diffusers saves of one, an IP-Adapter `ip_adapter.safetensors` and `image_encoder/`.

The base model is never touched: parts that change are copied in structure and share its weights
(`sharing.py`), the others are the base's own. So pictures with and without a ControlNet share the
UNet's calls, and pictures with different LoRAs never do.
"""

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from inference.pipelines.controlnet import (
    check_controls,
    control_arguments,
    load_controls,
    pipeline_with_controls,
)
from inference.pipelines.image_prompts import (
    check_image_prompts,
    image_prompt_arguments,
    load_image_prompts,
)
from inference.pipelines.loading import (
    DENOISERS,
    ENCODERS,
    LOADING,
    Model,
    make_pipeline,
    suspend_parts,
)
from inference.pipelines.lora import load_loras
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.sharing import copy_sharing_weights
from inference.pipelines.tiling import close_edges

CARD = "easel.json"
FIELDS = {"loras": "lora", "controls": "controlnet", "image_prompts": "ip_adapter"}
# Loads LoRAs and IP-Adapters into the parts of each family, and says which of the fields it takes.
LOADERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sd15": ("StableDiffusionPipeline", ("loras", "controls", "image_prompts", "tiling")),
    "sdxl": ("StableDiffusionXLPipeline", ("loras", "controls", "image_prompts", "tiling")),
    "flux": ("FluxPipeline", ("loras",)),
}

FindFolder = Callable[[str], Path]


def adaptation(request: Request) -> Hashable | None:
    """What `adapt` would add; equal ones give equal models. None: nothing at all."""
    weights = _weights_key(request)
    controls = tuple(control.name for control in request.controls)
    return (weights, controls) if any(weights) or controls else None


def adapt(model: Model, request: Request, find_folder: FindFolder) -> Model:
    """The model as the request wants it: itself when there is nothing to add.

    `find_folder` says where an adapter of a name is or would be. Costs the adapters' files and
    the copied structure. Raises InvalidRequest that names the field of an adapter which is not
    there, is of another kind, or does not fit the model.
    """
    if adaptation(request) is None:
        return model
    folders = find_adapters(model, request, find_folder)
    with LOADING:
        parts = _adapt_weights(model, request, folders)
        if request.controls:
            parts["controlnet"] = load_controls(model, folders["controls"], closed=request.tiling)
    added = adaptation(request)
    identity = (model.identity, added)
    return replace(model, identity=identity, adaptation=added, components=parts)


def check_adapters(model: Model, request: Request, files: Sequence[bytes]) -> None:
    """Raises InvalidRequest for adapters that lack their picture, ValueError for a model that was
    adapted to another request."""
    check_controls(request, files)
    check_image_prompts(request, files)
    if model.adaptation != adaptation(request):
        raise ValueError(f"{model.identity} is not adapted to this request")


def pipeline_class(class_name: str, request: Request) -> str:
    """The diffusers class that does what this one does under the request's ControlNets."""
    return pipeline_with_controls(class_name) if request.controls else class_name


def adapter_arguments(request: Request, files: Sequence[bytes]) -> dict[str, Any]:
    """What a pipeline's call gets for the request's adapters. Raises InvalidRequest for a picture
    that does not do."""
    return {**control_arguments(request, files), **image_prompt_arguments(request, files)}


def find_adapters(model: Model, request: Request, find_folder: FindFolder) -> dict[str, list[Path]]:
    """The folders of a request's adapters by field. Raises InvalidRequest as `adapt`, without
    reading any weights."""
    _, accepted = LOADERS.get(model.family, ("", ()))
    for field in (*FIELDS, "tiling"):
        if getattr(request, field) and field not in accepted:
            raise InvalidRequest(f"{field}: a model of the family {model.family} takes none")
    return {
        field: [
            _find_adapter(f"{field}.{number}.name", one.name, kind, model.family, find_folder)
            for number, one in enumerate(getattr(request, field))
        ]
        for field, kind in FIELDS.items()
    }


def _find_adapter(where: str, name: str, kind: str, family: str, find_folder: FindFolder) -> Path:
    folder = find_folder(name)
    card = _read_card(where, folder / CARD, name)
    if card.get("kind") != kind:
        raise InvalidRequest(f"{where}: {name!r} is a {card.get('kind')}, not a {kind}")
    if card.get("base") != family:
        raise InvalidRequest(f"{where}: {name!r} is made for {card.get('base')}, not for {family}")
    return folder


def _read_card(where: str, card: Path, name: str) -> dict[str, Any]:
    if not card.is_file():
        raise InvalidRequest(f"{where}: there is no adapter {name!r} here")
    try:
        document = json.loads(card.read_text(encoding="utf-8"))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidRequest(f"{where}: {CARD} of {name!r} is not a JSON object")
    return document


def _weights_key(request: Request) -> tuple[Hashable, ...]:
    """What changes the weights or the arithmetic of the model's own parts."""
    prompts = tuple((prompt.name, prompt.weight) for prompt in request.image_prompts)
    return (request.loras, prompts, request.tiling)


def _adapt_weights(
    model: Model, request: Request, folders: dict[str, list[Path]]
) -> dict[str, Any]:
    """All parts of the model, those that the request changes as adapted copies, suspended."""
    copies = {
        name: copy_sharing_weights(model.components[name])
        for name in sorted(_changed(request))
        if isinstance(model.components.get(name), torch.nn.Module)
    }
    if not copies:
        return dict(model.components)
    loader, _ = LOADERS[model.family]
    pipeline = make_pipeline(
        loader, replace(model, components={**model.components, **copies}), None
    )
    load_loras(pipeline, request.loras, folders["loras"])
    load_image_prompts(pipeline, model, request.image_prompts, folders["image_prompts"])
    parts = {**model.components, **copies}
    for name in ("image_encoder", "feature_extractor"):
        if request.image_prompts:
            parts[name] = getattr(pipeline, name)
    for twin in copies.values():
        twin.eval().requires_grad_(False)
        if request.tiling:
            close_edges(twin)
    identity = (model.identity, _weights_key(request))
    suspend_parts(identity, copies)
    return parts


def _changed(request: Request) -> set[str]:
    """The parts of the model that a request changes, by the names of all families."""
    changed: set[str] = set()
    if request.loras:
        changed |= {*DENOISERS, *ENCODERS}
    if request.image_prompts:
        changed |= {"unet"}
    if request.tiling:
        changed |= {"unet", "vae"}
    return changed
