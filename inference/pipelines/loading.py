"""From a folder in the diffusers layout to a model in memory whose parts suspend pictures."""

import copy
import inspect
import json
import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers.utils import logging as transformers_logging

from inference.pipelines.calls import Kind
from inference.pipelines.picture import suspend
from inference.pipelines.preview import LatentColours, fit_latent_colours

FAMILIES = {
    "StableDiffusionPipeline": "sd15",
    "StableDiffusionInpaintPipeline": "sd15",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionXLInpaintPipeline": "sdxl",
    "StableDiffusionUpscalePipeline": "x4",
    "FluxPipeline": "flux",
}
# Diffusers' pipelines of these families take a VAE in half precision to FP32 and back for every
# picture, in place. Ours is shared: it stays in FP32.
FULL_PRECISION_VAE = ("sdxl", "x4")
# Parts that are never loaded: moderation and marks of origin are the service's own affair.
WITHOUT = ("safety_checker", "watermarker")
PLAIN = dict.fromkeys(WITHOUT) | {
    "requires_safety_checker": False,
    "add_watermarker": False,
}
# What a folder's index says beside its parts, for whichever of its pipelines asks.
OPTIONS = ("force_zeros_for_empty_prompt", "requires_aesthetics_score", "max_noise_level")
DENOISERS = ("unet", "transformer")
ENCODERS = ("text_encoder", "text_encoder_2", "image_encoder")
# Diffusers, transformers and PEFT change torch.nn.Module itself while they load.
LOADING = threading.RLock()
transformers_logging.disable_progress_bar()
diffusers.utils.logging.disable_progress_bar()
# Their warnings speak to programmers, one for every adapter that leaves a part alone.
diffusers.utils.logging.set_verbosity_error()


class LoadError(Exception):
    """The folder is not there, or holds no pipeline that this engine can draw with."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model in memory, its scheduler's configuration apart: each picture has its own scheduler.

    `identity` differs between models whose pictures cannot share a call. `vae_scale` is pixels per
    latent cell, `native_side` pixels. `options` are arguments of its pipelines that are no parts,
    `adaptation` is what was added to it (`adapters.py`).
    """

    identity: Hashable
    family: str
    components: dict[str, Any] = field(repr=False)
    scheduler_config: dict[str, Any] = field(repr=False)
    colours: LatentColours = field(repr=False)
    vae_scale: int
    native_side: int
    device: torch.device
    dtype: torch.dtype
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    adaptation: Hashable | None = None

    @property
    def denoiser(self) -> Any:
        """The UNet or transformer."""
        return next(self.components[name] for name in DENOISERS if name in self.components)


def load_model(folder: Path, device: torch.device, dtype: torch.dtype | None = None) -> Model:
    """Load a pipeline folder. Weights become FP32 on a CPU and 16 bits on an accelerator unless
    `dtype` says otherwise; the VAE of some families is always in FP32.

    Raises LoadError when the folder holds no such pipeline.
    """
    class_name = check_folder(folder)
    require_parts(folder)
    with LOADING:
        return _load(folder, class_name, device, dtype or _usual_dtype(class_name, device))


def _load(folder: Path, class_name: str, device: torch.device, dtype: torch.dtype) -> Model:
    pipeline = _read_pipeline(folder, class_name)
    components = dict(pipeline.components)
    scheduler = components.pop("scheduler")
    vae_dtype = torch.float32 if FAMILIES[class_name] in FULL_PRECISION_VAE else dtype
    for name, part in components.items():
        if isinstance(part, torch.nn.Module):
            _convert(part, device, vae_dtype if name == "vae" else dtype)
            part.eval().requires_grad_(False)
    if "force_upcast" in pipeline.vae.config:
        pipeline.vae.register_to_config(force_upcast=False)
    model = Model(
        identity=folder.name,
        family=FAMILIES[class_name],
        components=components,
        options={name: pipeline.config[name] for name in OPTIONS if name in pipeline.config},
        scheduler_config=dict(scheduler.config),
        colours=fit_latent_colours(pipeline.vae),
        vae_scale=pipeline.vae_scale_factor,
        native_side=_native_side(pipeline),
        device=device,
        dtype=dtype,
    )
    _settle_attributes(model.denoiser)
    suspend_parts(model.identity, components)
    return model


def _read_pipeline(folder: Path, class_name: str) -> Any:
    """The pipeline in FP32, whatever it will be: to load anything else, diffusers and transformers
    switch the default type of the whole process, and pictures under way would compute with it."""
    without = {name: None for name in WITHOUT if name in _read_index(folder)}
    try:
        return getattr(diffusers, class_name).from_pretrained(
            str(folder),
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            **without,
        )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise LoadError(f"the model in {folder.name!r} cannot be loaded: {error}") from error


def _convert(part: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move a part; what its author keeps in FP32 beside FP16 stays so."""
    kept = getattr(part, "_keep_in_fp32_modules", None) if dtype is torch.float16 else None
    for name, tensor in chain(part.named_parameters(), part.named_buffers()):
        is_converted = tensor.is_floating_point() and not set(kept or ()) & set(name.split("."))
        tensor.data = tensor.data.to(device, dtype if is_converted else tensor.dtype)


def _settle_attributes(denoiser: Any) -> None:
    """Transformers get an attribute with their first cache context: it must not come to be while
    another thread copies them (`sharing.py`)."""
    if hasattr(denoiser, "cache_context"):
        with denoiser.cache_context("cond"):
            pass


def _usual_dtype(class_name: str, device: torch.device) -> torch.dtype:
    """Flux and its T5 were trained in BF16, and leave the range of FP16."""
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if FAMILIES[class_name] == "flux" else torch.float16


def _native_side(pipeline: Any) -> int:
    """Pixels of the pictures that the model was trained on. x4: those that it makes of 128."""
    unet = getattr(pipeline, "unet", None)
    cells = pipeline.default_sample_size if unet is None else unet.config.sample_size
    return int(cells) * int(pipeline.vae_scale_factor)


def make_pipeline(class_name: str, model: Model, scheduler: Any) -> Any:
    """A diffusers pipeline of a model's parts, for one picture: what it keeps, it keeps itself."""
    pipeline_class = getattr(diffusers, class_name)
    accepted = inspect.signature(pipeline_class.__init__).parameters
    offered = {**PLAIN, **model.options, **model.components, "scheduler": scheduler}
    if "low_res_scheduler" in offered:
        offered["low_res_scheduler"] = copy.deepcopy(offered["low_res_scheduler"])
    pipeline = pipeline_class(**{name: offered[name] for name in offered if name in accepted})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def suspend_parts(identity: Hashable, components: dict[str, Any]) -> None:
    """Make every network of a model hand its calls to the driver of the picture that makes them."""
    for name in DENOISERS:
        if components.get(name) is not None:
            suspend(components[name], "forward", Kind.STEP, (identity, name), skipped=no_prediction)
    for name in ENCODERS:
        if components.get(name) is not None:
            suspend(components[name], "forward", Kind.SIDE, (identity, name))
    for method in ("encode", "decode") if components.get("vae") is not None else ():
        _take_any_precision(components["vae"], method)
        suspend(components["vae"], method, Kind.SIDE, (identity, method))


def _take_any_precision(vae: Any, method: str) -> None:
    """Pictures of a denoiser in half precision hand their latents to a VAE in FP32 as they are.

    And in one order in memory: convolutions choose their kernels by it, and a picture that goes on
    from a checkpoint has lost the order that its image had.
    """
    real = getattr(vae, method)

    @wraps(real)
    def cast(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return real(tensor.to(vae.dtype).contiguous(), *args, **kwargs)

    setattr(vae, method, cast)


def no_prediction(*args: Any, **kwargs: Any) -> tuple[torch.Tensor]:
    """What a denoiser answers in a step that is skipped: nobody reads it."""
    sample = args[0] if args else kwargs["hidden_states"]
    return (torch.zeros_like(sample),)


def check_folder(folder: Path) -> str:
    """The pipeline class of a folder. Raises LoadError unless we draw with that class."""
    name = _read_index(folder).get("_class_name")
    if name not in FAMILIES:
        raise LoadError(f"the model {folder.name!r} is a {name}, not one of {', '.join(FAMILIES)}")
    return str(name)


def require_parts(folder: Path) -> None:
    """Raises LoadError for a part that the index names and the folder lacks.

    Diffusers itself makes an empty tokenizer of a missing one.
    """
    for name, source in _read_index(folder).items():
        is_part = isinstance(source, list) and all(source) and name not in WITHOUT
        if is_part and not any((folder / name).glob("*")):
            raise LoadError(f"the model in {folder.name!r} cannot be loaded: it has no {name}")


def _read_index(folder: Path) -> dict[str, Any]:
    index = folder / "model_index.json"
    if not index.is_file():
        raise LoadError(f"there is no model {folder.name!r} here")
    document = json.loads(index.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise LoadError(f"{index.name} of the model {folder.name!r} is not a JSON object")
    return document
