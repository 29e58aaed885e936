"""ControlNets (Zhang et al. 2023, arXiv:2302.05543): a picture says what goes where."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from PIL import Image

from inference.pipelines.calls import Kind
from inference.pipelines.images import read_image, require_file, require_sides
from inference.pipelines.loading import Model
from inference.pipelines.networks import NetworkKind, load_network
from inference.pipelines.picture import aside
from inference.pipelines.request import InvalidRequest, Request

# The pipeline with ControlNet that stands for each one without.
PIPELINES = {
    "StableDiffusionPipeline": "StableDiffusionControlNetPipeline",
    "StableDiffusionImg2ImgPipeline": "StableDiffusionControlNetImg2ImgPipeline",
    "StableDiffusionInpaintPipeline": "StableDiffusionControlNetInpaintPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLControlNetPipeline",
    "StableDiffusionXLImg2ImgPipeline": "StableDiffusionXLControlNetImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline": "StableDiffusionXLControlNetInpaintPipeline",
}
# A ControlNet is a copy of its UNet's first half: these say which UNet.
SAME_AS_UNET = (
    "block_out_channels",
    "cross_attention_dim",
    "layers_per_block",
    "addition_embed_type",
    "projection_class_embeddings_input_dim",
)


def no_residuals(*args: Any, **kwargs: Any) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What a ControlNet answers in a step that is skipped: nobody reads it, but pipelines in
    guess mode join it."""
    sample = args[0] if args else kwargs["sample"]
    return [], torch.zeros_like(sample)


CONTROLNET = NetworkKind(ControlNetModel, Kind.STEP, no_residuals)


def load_controls(model: Model, folders: Sequence[Path], *, closed: bool) -> torch.nn.Module:
    """The ControlNets as diffusers wants them: one as it is, several as one. Each suspends pictures
    by itself. `closed`: with closed edges.

    Raises InvalidRequest for one that does not fit the model's UNet.
    """
    nets = []
    for number, folder in enumerate(folders):
        where = f"controls.{number}.name"
        _check_config(model, folder, where)
        nets.append(load_network(CONTROLNET, folder, model, where, closed=closed))
    return nets[0] if len(nets) == 1 else MultiControlNetModel(nets)  # type: ignore[arg-type]


def check_controls(request: Request, files: Sequence[bytes]) -> None:
    """Raises InvalidRequest for a ControlNet that ends before it begins or lacks its picture."""
    for number, control in enumerate(request.controls):
        if control.begin >= control.end:
            raise InvalidRequest(f"controls.{number}.end must be greater than its begin")
        require_file(files, control.image, f"controls.{number}.image")


def pipeline_with_controls(class_name: str) -> str:
    """The name of the diffusers class that does the same under ControlNets.

    Raises InvalidRequest where there is none.
    """
    if class_name not in PIPELINES:
        raise InvalidRequest(f"controls: there is no ControlNet for {class_name}")
    return PIPELINES[class_name]


def control_arguments(request: Request, files: Sequence[bytes]) -> dict[str, Any]:
    """What the call of a pipeline with ControlNets gets for them, beside its other arguments.

    Raises InvalidRequest for a picture that does not have the sides of the request.
    """
    controls = request.controls
    if not controls:
        return {}
    several: dict[str, list[Any]] = {
        "image" if request.task == "txt2img" else "control_image": _pictures(request, files),
        "controlnet_conditioning_scale": [control.weight for control in controls],
        "control_guidance_start": [control.begin for control in controls],
        "control_guidance_end": [control.end for control in controls],
    }
    if len(controls) > 1:
        return dict(several)
    return {name: values[0] for name, values in several.items()}


def _pictures(request: Request, files: Sequence[bytes]) -> list[Image.Image]:
    pictures = []
    for number, control in enumerate(request.controls):
        where = f"controls.{number}.image"
        picture = aside(read_image, require_file(files, control.image, where), where)
        require_sides(where, picture, request.width, request.height)
        pictures.append(picture)
    return pictures


def _check_config(model: Model, folder: Path, where: str) -> None:
    what = f"{where}: {folder.name!r}"
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{what} has no readable config.json") from error
    if config.get("_class_name") != ControlNetModel.__name__:
        raise InvalidRequest(f"{what} is a {config.get('_class_name')}, not a ControlNetModel")
    unet = model.denoiser.config
    for name in SAME_AS_UNET:
        if _plain(config.get(name)) != _plain(unet.get(name)):
            raise InvalidRequest(
                f"{what} is made for another base: its {name} is {config.get(name)}, "
                f"the model's {unet.get(name)}"
            )


def _plain(value: Any) -> Any:
    """Sequences compare as such: a configuration in memory has tuples, one in a file lists."""
    return list(value) if isinstance(value, list | tuple) else value
