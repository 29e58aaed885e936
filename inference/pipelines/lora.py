"""LoRAs: low-rank changes of a model's weights (Hu et al. 2021, arXiv:2106.09685), by PEFT."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError, safe_open

from inference.pipelines.request import InvalidRequest, Lora

# One key a layer in each of the spellings: PEFT's, diffusers' older ones, kohya's.
UP_WEIGHT = re.compile(r"(lora_B|lora_up|lora\.up|_lora\.up|lora_linear_layer\.up)\.weight$")
# All that a LoRA holds. Its relatives (DoRA, LoHa, LoKr, LoCon's middle matrix) hold more, some of
# which diffusers leaves out with a warning.
SPELLED = re.compile(
    r"(lora_[AB]|lora_(down|up)|lora\d?\.(down|up)|lora_linear_layer\.(down|up))(\.\w+)?\.weight$"
    r"|alpha$"
)
BROKEN = (OSError, ValueError, KeyError, IndexError, AttributeError, RuntimeError, SafetensorError)


def load_loras(pipeline: Any, loras: Sequence[Lora], folders: Sequence[Path]) -> None:
    """Load LoRAs into the parts of a pipeline, each with its weight; these parts change.

    Raises InvalidRequest for one that does not fit these parts in every layer.
    """
    for number, (lora, folder) in enumerate(zip(loras, folders, strict=True)):
        _load(pipeline, folder, f"loras.{number}.name: {lora.name!r}", _adapter_name(number))
    if loras:
        names = [_adapter_name(number) for number in range(len(loras))]
        pipeline.set_adapters(names, [lora.weight for lora in loras])


def _adapter_name(number: int) -> str:
    """PEFT makes module names of these, so that a name with a dot would not do."""
    return f"lora_{number}"


def _load(pipeline: Any, folder: Path, what: str, adapter: str) -> None:
    file = find_weights(folder, what)
    options = {"weight_name": file.name, "local_files_only": True, "use_safetensors": True}
    try:
        _check_spelling(file, what)
        expected = _count_layers(pipeline, folder, options)
        pipeline.load_lora_weights(str(folder), adapter_name=adapter, **options)
    except torch.OutOfMemoryError:
        raise
    except BROKEN as error:
        raise InvalidRequest(f"{what} does not fit this model: {_reason(error)}") from error
    layers = _loaded_layers(pipeline, adapter)
    if len(layers) != expected:
        raise InvalidRequest(
            f"{what} does not fit this model: {expected - len(layers)} of its {expected} layers "
            "are not there"
        )
    for layer in layers:
        _settle(layer, adapter)


def find_weights(folder: Path, what: str) -> Path:
    """The one safetensors file of a folder. Raises InvalidRequest."""
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        raise InvalidRequest(f"{what} has {len(files)} safetensors files, not one")
    return files[0]


def _check_spelling(file: Path, what: str) -> None:
    with safe_open(file, framework="pt") as tensors:
        keys = list(tensors.keys())
    strange = [key for key in keys if not SPELLED.search(key)]
    if strange or not keys:
        raise InvalidRequest(f"{what} is not a LoRA: it holds {(strange or ['nothing'])[0]}")


def _count_layers(pipeline: Any, folder: Path, options: dict[str, Any]) -> int:
    """How many layers the file changes, as diffusers reads its spelling."""
    denoiser = getattr(pipeline, "unet", None)
    config = {} if denoiser is None else {"unet_config": denoiser.config}
    answer = pipeline.lora_state_dict(str(folder), **options, **config)
    state = answer[0] if isinstance(answer, tuple) else answer
    return sum(1 for key in state if UP_WEIGHT.search(key))


def _loaded_layers(pipeline: Any, adapter: str) -> list[LoraLayer]:
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    modules = [module for part in parts for module in part.modules()]
    return [one for one in modules if isinstance(one, LoraLayer) and adapter in one.lora_A]


def _settle(layer: LoraLayer, adapter: str) -> None:
    """A LoRA computes where its layer does and as finely."""
    weight: Any = layer.get_base_layer().weight
    for change in (layer.lora_A[adapter], layer.lora_B[adapter]):
        change.to(weight.device, weight.dtype)


def _reason(error: Exception) -> str:
    """The first lines of what torch and others tell at length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])
