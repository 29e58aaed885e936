"""A tiny model with adapters for it, and diffusers' own pipelines with the same adapters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch

from inference.pipelines.adapters import adapt
from inference.pipelines.loading import Model, load_model
from inference.pipelines.request import Control, ImagePrompt, Lora, Request
from inference.pipelines.schedulers import make_scheduler
from tests.inference.sample_pictures import encode, make_image, make_mask
from tests.inference.tiny_adapters import save_controlnet, save_ip_adapter, save_lora
from tests.inference.tiny_pipeline import save_tiny_pipeline
from tests.inference.tiny_sdxl import save_tiny_sdxl

CPU = torch.device("cpu")
SAVERS: dict[str, Callable[[Path], None]] = {"sd15": save_tiny_pipeline, "sdxl": save_tiny_sdxl}
CLASSES = {
    "sd15": "StableDiffusion{}Pipeline",
    "sdxl": "StableDiffusionXL{}Pipeline",
}
ENCODERS = {"sd15": ["text_encoder"], "sdxl": ["text_encoder", "text_encoder_2"]}
LORAS = (Lora("style", 0.8), Lora("lines.v2", -0.5))
EDGES = Control("edges", 0, 0.7, 0.0, 1.0)
POSE = Control("pose", 1, 0.4, 0.0, 0.5)
FACE = ImagePrompt("face", 2, 0.6)
IMAGE, MASK = 3, 4
FILES = [encode(make_image(seed=seed)) for seed in range(4)] + [encode(make_mask())]


class Shelf:
    """A tiny model of one family with a folder of adapters for it."""

    def __init__(self, folder: Path, family: str) -> None:
        self.folder, self.family = folder, family
        SAVERS[family](folder / "base")
        self.model = load_model(folder / "base", CPU)
        save_lora(self.model, folder / "style", 1, ["unet", *ENCODERS[family]])
        save_lora(self.model, folder / "lines.v2", 2, ["unet"])
        save_controlnet(self.model, folder / "edges", 3)
        save_controlnet(self.model, folder / "pose", 4)
        save_ip_adapter(self.model, folder / "face", 5)
        save_ip_adapter(self.model, folder / "place", 6)

    def adapted(self, wanted: Request) -> Model:
        return adapt(self.model, wanted, self.folder.joinpath)

    def plain(self, wanted: Request, kind: str = "") -> Any:
        """Diffusers' own pipeline with what the request names, as its documentation says."""
        controls = [self._controlnet(control.name) for control in wanted.controls]
        parts = {"controlnet": controls if len(controls) > 1 else controls[0]} if controls else {}
        name = CLASSES[self.family].format(("ControlNet" if controls else "") + kind)
        pipeline = getattr(diffusers, name).from_pretrained(
            self.folder / "base", dtype=torch.float32, **parts
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.scheduler = make_scheduler(wanted.scheduler, pipeline.scheduler.config)
        self._add_loras(pipeline, wanted)
        if wanted.image_prompts:
            folders = [str(self.folder / prompt.name) for prompt in wanted.image_prompts]
            files = ["ip_adapter.safetensors"] * len(folders)
            pipeline.load_ip_adapter(folders, subfolder="", weight_name=files)
            pipeline.set_ip_adapter_scale([prompt.weight for prompt in wanted.image_prompts])
        return pipeline

    def _controlnet(self, name: str) -> Any:
        return diffusers.ControlNetModel.from_pretrained(self.folder / name)

    def _add_loras(self, pipeline: Any, wanted: Request) -> None:
        names = [f"adapter{number}" for number in range(len(wanted.loras))]
        for lora, name in zip(wanted.loras, names, strict=True):
            pipeline.load_lora_weights(self.folder / lora.name, adapter_name=name)
        if names:
            pipeline.set_adapters(names, [lora.weight for lora in wanted.loras])


def expected_arguments(wanted: Request) -> dict[str, Any]:
    """What diffusers' pipelines get for the adapters of a request."""
    arguments: dict[str, Any] = {}
    controls = wanted.controls
    if controls:
        pictures = [make_image(seed=control.image) for control in controls]
        name = "image" if wanted.task == "txt2img" else "control_image"
        arguments[name] = pictures if len(controls) > 1 else pictures[0]
        arguments["controlnet_conditioning_scale"] = [control.weight for control in controls]
        arguments["control_guidance_start"] = [control.begin for control in controls]
        arguments["control_guidance_end"] = [control.end for control in controls]
        if len(controls) == 1:
            arguments["controlnet_conditioning_scale"] = controls[0].weight
    if wanted.image_prompts:
        arguments["ip_adapter_image"] = [make_image(seed=p.image) for p in wanted.image_prompts]
    return arguments
