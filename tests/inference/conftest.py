from pathlib import Path

import pytest
import torch

from inference.pipelines.loading import Model, load_model
from tests.inference.tiny_pipeline import save_tiny_pipeline


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: `tiny` predicts noise, `tiny-v` predicts velocity."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    save_tiny_pipeline(folder / "tiny")
    save_tiny_pipeline(folder / "tiny-v", prediction_type="v_prediction")
    return folder


@pytest.fixture(scope="session")
def model(models_dir: Path) -> Model:
    return load_model(models_dir / "tiny", torch.device("cpu"))
