"""The UNet compiled: tiny, and by a back end that needs no compiler of C++."""

from typing import Any

import pytest
import torch

from inference.export.parts import unet_part
from inference.export.tensors import random_tensors
from inference.pipelines.loading import Model
from inference.runners.compiled import ROWS, Compiled, pad_rows


@pytest.fixture(scope="module")
def compiled(model: Model) -> Compiled:
    forward = model.denoiser.forward.__wrapped__
    return Compiled(forward, torch.device("cpu"), backend="aot_eager")


def test_a_compiled_network_answers_as_torch(model: Model, compiled: Compiled) -> None:
    part = unet_part(model.denoiser)
    for rows in (2, 3):
        inputs = random_tensors(part.inputs, rows, part.sides(), seed=rows)
        with torch.no_grad():
            answer, expected = compiled.predict(inputs), part.network(*inputs.values())[0]
        assert answer.shape == expected.shape
        assert float((answer - expected).abs().max() / expected.abs().max()) < 1e-5


def test_rows_are_padded_to_few_counts() -> None:
    inputs: dict[str, Any] = {"sample": torch.arange(6.0).reshape(3, 2), "timestep": torch.ones(3)}
    padded = pad_rows(inputs, next(size for size in ROWS if size >= 3))
    assert {name: len(value) for name, value in padded.items()} == {"sample": 4, "timestep": 4}
    assert torch.equal(padded["sample"][:3], inputs["sample"])
    assert torch.equal(padded["sample"][3], inputs["sample"][0])
    assert pad_rows(inputs, 3)["sample"] is inputs["sample"]
