"""The engine draws every task as it is drawn alone, and refuses what files tell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.engine.engine import Engine
from inference.engine.events import Failure
from inference.engine.settings import read_settings
from tests.inference.drawn import draw
from tests.inference.engine.recorder import submit
from tests.inference.pipelines.cases import CASES
from tests.inference.pipelines.models import Models
from tests.inference.sample_pictures import encode, make_image, make_mask
from tests.inference.sample_requests import request

IMAGE = encode(make_image())


@pytest.fixture(scope="module")
def engine(models: Models) -> Iterator[Engine]:
    folders = {models.folder(case.model).parent for case in CASES.values()}
    (folder,) = folders
    parameters = {"models_dir": str(folder), "threads": "1", "max_running": "16"}
    engine = Engine(read_settings(Path(folder), parameters, environment={}), torch.device("cpu"))
    engine.start()
    yield engine
    engine.stop()


def test_all_tasks_of_all_models_at_once_are_the_bytes_of_those_drawn_alone(
    models: Models, engine: Engine
) -> None:
    changes: dict[str, Any] = {"steps": 4, "scheduler": "heun"}
    recorders = {
        name: submit(engine, files=case.files, model=case.model, **case.changes, **changes)
        for name, case in CASES.items()
    }
    for name, case in CASES.items():
        told = recorders[name].wait()
        assert told.image is not None, told.failure
        alone = draw(models[case.model], request(**case.changes, **changes), case.files)
        assert np.array_equal(told.image, alone)
        assert told.steps == list(range(1, told.events[-1]["steps"] + 1))
        assert (told.events[-1]["prompt_tokens"], told.events[-1]["prompt_chunks"]) == (9, 1)


@pytest.mark.parametrize(
    ("changes", "files", "message"),
    [
        ({"task": "img2img", "image": 0}, [b"no picture"], "image is not a picture"),
        ({"task": "img2img", "image": 0}, [], "image: there is no file 0"),
        ({"task": "inpaint", "image": 0, "mask": 1}, [IMAGE, encode(make_mask(8, 8))], "mask must"),
        ({"task": "upscale", "image": 0}, [IMAGE], "width and height must be 2 or 3 or 4 times"),
        ({"prompt": "a" * 2500}, [], "prompt: 34 chunks"),
        ({"clip_skip": 4}, [], "clip_skip: this model can skip 2 layers"),
    ],
)
def test_what_files_and_words_tell_is_refused_before_a_step(
    engine: Engine, changes: dict[str, Any], files: list[bytes], message: str
) -> None:
    told = submit(engine, files=files, model="sd15", **changes).wait()
    assert told.failure is not None
    assert told.failure[0] is Failure.INVALID_ARG and told.failure[1].startswith(message)
    assert told.steps == []
