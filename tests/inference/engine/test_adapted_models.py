"""Requests with adapters, through the engine: drawn beside others as they are drawn alone."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from inference.engine.events import Failure
from inference.pipelines.request import Lora
from tests.inference.adapter_shelf import EDGES, FACE, FILES, LORAS, POSE, Shelf
from tests.inference.drawn import draw
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.recorder import submit
from tests.inference.sample_requests import request

MIXED: list[dict[str, Any]] = [
    {},
    {"loras": LORAS[:1]},
    {"loras": LORAS},
    {"controls": (EDGES, POSE)},
    {"image_prompts": (FACE,)},
    {"loras": LORAS, "controls": (EDGES,), "image_prompts": (FACE,), "tiling": True},
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    torch.set_num_threads(1)
    return Shelf(tmp_path_factory.mktemp("served"), "sd15")


def as_json(changes: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request as the wire has them."""
    return {
        name: [asdict(one) for one in value] if isinstance(value, tuple) else value
        for name, value in changes.items()
    }


@pytest.mark.parametrize("batch_rows", ["", "8"])
def test_pictures_of_many_adapters_beside_each_other(
    make_engine: MakeEngine, shelf: Shelf, batch_rows: str
) -> None:
    engine = make_engine(models_dir=shelf.folder, batch_rows=batch_rows, max_running=12)
    recorders = [
        submit(engine, files=FILES, model="base", steps=2, seed=seed, **as_json(changes))
        for changes in MIXED
        for seed in (1, 2)
    ]
    images = [recorder.wait().image for recorder in recorders]
    for number, changes in enumerate(MIXED):
        adapted = shelf.adapted(request(**changes))
        for seed, image in zip((1, 2), images[2 * number :], strict=False):
            alone = draw(adapted, request(steps=2, seed=seed, **changes), FILES)
            assert image is not None
            assert np.abs(image.astype(int) - alone.astype(int)).max() <= bool(batch_rows)


def test_an_adapter_that_does_not_fit_is_refused_and_the_others_go_on(
    make_engine: MakeEngine, shelf: Shelf
) -> None:
    engine = make_engine(models_dir=shelf.folder)
    wrong = {"loras": (*LORAS, Lora("edges", 1.0))}
    refused = submit(engine, model="base", **as_json(wrong)).wait()
    assert refused.failure is not None
    assert refused.failure[0] is Failure.INVALID_ARG
    assert refused.failure[1] == "loras.2.name: 'edges' is a controlnet, not a lora"
    drawn = submit(engine, model="base", **as_json({"loras": LORAS})).wait()
    assert drawn.image is not None
