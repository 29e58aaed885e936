"""The tiny models of these tests by name, each made and loaded when first asked for."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from inference.pipelines.loading import Model, load_model
from tests.inference.tiny_pipeline import (
    save_tiny_inpainting,
    save_tiny_pipeline,
    save_tiny_upscaler,
)
from tests.inference.tiny_sdxl import save_tiny_sdxl

MAKERS: dict[str, Callable[[Path], None]] = {
    "sd15": save_tiny_pipeline,
    "sd15-v": partial(save_tiny_pipeline, prediction_type="v_prediction"),
    "sd15-inpainting": save_tiny_inpainting,
    "sdxl": save_tiny_sdxl,
    "sdxl-inpainting": partial(save_tiny_sdxl, is_inpainting=True),
    "x4": save_tiny_upscaler,
}


class Models:
    """A folder of models."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, Model] = {}

    def folder(self, name: str) -> Path:
        """Where the model lies."""
        folder = self._folder / name
        if not folder.exists():
            MAKERS[name](folder)
        return folder

    def __getitem__(self, name: str) -> Model:
        if name not in self._loaded:
            self._loaded[name] = load_model(self.folder(name), torch.device("cpu"))
        return self._loaded[name]
