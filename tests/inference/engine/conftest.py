from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.engine.engine import Engine
from inference.engine.settings import read_settings

MakeEngine = Callable[..., Engine]


@pytest.fixture
def make_engine(models_dir: Path) -> Iterator[MakeEngine]:
    """Starts engines, with parameters as in config.pbtxt, and stops them after the test."""
    engines = []

    def make(**parameters: Any) -> Engine:
        texts = {name: str(value) for name, value in parameters.items()}
        texts = {"models_dir": str(models_dir), "threads": "1", **texts}
        engine = Engine(read_settings(models_dir, texts, environment={}), torch.device("cpu"))
        engine.start()
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.stop()
