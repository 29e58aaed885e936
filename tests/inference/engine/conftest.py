from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.engine.engine import Engine, end_process
from inference.engine.settings import read_settings
from inference.engine.shelf import Load
from inference.pipelines.loading import load_model

MakeEngine = Callable[..., Engine]
Lost = Callable[[], None]


@pytest.fixture
def make_engine(models_dir: Path) -> Iterator[MakeEngine]:
    """Starts engines, with parameters as in config.pbtxt, and stops them after the test."""
    engines = []

    def make(load: Load = load_model, lost: Lost = end_process, **parameters: Any) -> Engine:
        texts = {name: str(value) for name, value in parameters.items()}
        texts = {"models_dir": str(models_dir), "threads": "1", **texts}
        settings = read_settings(models_dir, texts, environment={})
        engine = Engine(settings, torch.device("cpu"), load=load, lost=lost)
        engine.start()
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.stop()
