import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from inference.export.onnx_files import write_onnx
from inference.export.parts import load_part, unet_part
from inference.export.repository import make_folders, render_model
from inference.pipelines.loading import Model, load_model
from inference.runners.choice import Choice
from inference.runners.runner import Usage, install

# Torch tells this logger of every operation that it traces; pytest would keep it all.
logging.getLogger("torch.__trace").propagate = False

LoadRun = Callable[..., tuple[Model, Usage]]


@pytest.fixture(scope="session")
def exports(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one export a model, of UNets alone: `tiny`."""
    folder = tmp_path_factory.mktemp("exports")
    part = unet_part(load_part(models_dir / "tiny", "unet"))
    output = folder / "tiny"
    write_onnx(part, make_folders(output, "dev", "tiny", "unet"))
    render_model(output, "dev", "tiny", part)
    return folder


@pytest.fixture
def load_run(models_dir: Path, exports: Path) -> LoadRun:
    """Loads a model that is computed by a runner."""

    def load(runner: str, name: str = "tiny", exports: Path = exports) -> tuple[Model, Usage]:
        model = load_model(models_dir / name, torch.device("cpu"))
        return model, install(model, name, Choice(runner, exports, threads=1))

    return load
