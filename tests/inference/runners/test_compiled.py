"""The UNet compiled: tiny, and by a back end that needs no compiler of C++."""

import threading
from typing import Any

import pytest
import torch

from inference.export.parts import unet_part
from inference.export.tensors import random_tensors
from inference.pipelines.loading import Model
from inference.runners.compiled import GRAPHS_KEPT, ROWS, Compiled, pad_rows
from inference.runners.inputs import Inputs


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


def plainly(sample: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor]:
    """A network that is compiled in no time."""
    return (sample * 2,)


def inputs_of(width: int) -> Inputs:
    rows = torch.ones(2)
    return {"sample": torch.ones(2, width), "timestep": rows, "encoder_hidden_states": rows}


def test_every_shape_is_compiled_on_whatever_thread() -> None:
    """Torch's own limit is eight shapes; those beyond it would silently not be compiled."""
    compilations = []

    def backend(graph: Any, _: Any) -> Any:
        compilations.append(graph)
        return graph.forward

    compiled = Compiled(plainly, torch.device("cpu"), backend=backend)
    widths = range(2, 14)

    def call_all() -> None:
        for _ in range(2):
            for width in widths:
                compiled.predict(inputs_of(width))

    thread = threading.Thread(target=call_all)
    thread.start()
    thread.join()
    assert len(compilations) == len(widths)


def test_kernels_are_chosen_without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes would choose other kernels, and draw other bytes."""
    chosen: list[Any] = []

    def compile_fx(graph: Any, *_: Any, config_patches: Any, **__: Any) -> Any:
        chosen.append(config_patches)
        return graph.forward

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", compile_fx)
    Compiled(plainly, torch.device("cpu")).predict(inputs_of(3))
    assert [patches["deterministic"] for patches in chosen] == [True]


def test_graphs_share_their_memory_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: the graphs themselves are stand-ins."""
    captured: list[tuple[int, Any]] = []

    class StandIn:
        def __init__(self, predict: Any, inputs: Inputs, pool: Any) -> None:
            captured.append((inputs["sample"].shape[1], pool))

        def __call__(self, inputs: Inputs) -> torch.Tensor:
            return inputs["sample"] * 2

    handles = iter([(0, 1), (0, 2)])
    monkeypatch.setattr("inference.runners.compiled.Graph", StandIn)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(handles))
    compiled = Compiled(plainly, torch.device("cuda"), backend="eager")
    for width in [*range(1, GRAPHS_KEPT + 1), 1, GRAPHS_KEPT + 1, 1, 2]:
        assert compiled.predict(inputs_of(width)).shape == (2, width)
    # Width 1 was used again before another was needed, so width 2 had to go.
    assert [width for width, _ in captured] == [*range(1, GRAPHS_KEPT + 2), 2]
    assert {pool for _, pool in captured} == {(0, 1)}
