"""The base model's weights are shared, and stay what they were, whatever comes and goes."""

import gc
import hashlib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from inference.pipelines.calls import Kind
from inference.pipelines.drawing import begin
from inference.pipelines.loading import Model
from inference.pipelines.request import Request
from inference.pipelines.sharing import copy_sharing_weights
from tests.inference.adapter_shelf import EDGES, FACE, FILES, LORAS, POSE, Shelf
from tests.inference.drawn import draw, step_call
from tests.inference.sample_requests import request

EVERYTHING = request(
    loras=LORAS, controls=(EDGES, POSE), image_prompts=(FACE,), tiling=True, steps=2
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    torch.set_num_threads(1)
    return Shelf(tmp_path_factory.mktemp("memory"), "sd15")


def storages(model: Model) -> dict[int, int]:
    """Bytes of every piece of memory that a model's weights lie in, by its address."""
    parts = [part for part in model.components.values() if isinstance(part, torch.nn.Module)]
    tensors = chain.from_iterable(chain(part.parameters(), part.buffers()) for part in parts)
    pieces = [tensor.untyped_storage() for tensor in tensors]
    return {piece.data_ptr(): piece.nbytes() for piece in pieces}


def added_bytes(shelf: Shelf, wanted: Request) -> int:
    base = storages(shelf.model)
    adapted = storages(shelf.adapted(wanted))
    return sum(size for address, size in adapted.items() if address not in base)


def file_bytes(*files: Path) -> int:
    """Bytes of the tensors in safetensors files."""
    total = 0
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            total += sum(tensors.get_tensor(key).nbytes for key in tensors.keys())
    return total


def test_a_lora_costs_its_own_weights_and_no_more(shelf: Shelf) -> None:
    files = [shelf.folder / lora.name / "pytorch_lora_weights.safetensors" for lora in LORAS]
    assert added_bytes(shelf, request(loras=LORAS)) == file_bytes(*files)


def test_a_controlnet_costs_its_own_weights_and_no_more(shelf: Shelf) -> None:
    weights = shelf.folder / "edges" / "diffusion_pytorch_model.safetensors"
    assert added_bytes(shelf, request(controls=(EDGES,))) == file_bytes(weights)


def test_an_image_prompt_costs_its_own_weights_and_no_more(shelf: Shelf) -> None:
    folder = shelf.folder / "face"
    weights = (folder / "ip_adapter.safetensors", folder / "image_encoder" / "model.safetensors")
    positions = 8 * 17  # the image encoder's buffer of position numbers is in no file
    assert added_bytes(shelf, request(image_prompts=(FACE,))) == file_bytes(*weights) + positions


def test_closed_edges_cost_nothing(shelf: Shelf) -> None:
    assert added_bytes(shelf, request(tiling=True)) == 0


def fingerprint(model: Model) -> dict[str, Any]:
    """Weights, structure and settings of all parts."""
    return {
        name: (
            repr(part),
            getattr(part, "attn_processors", None),
            str(part.config),
            [
                (key, hashlib.sha256(value.numpy().tobytes()).hexdigest(), value.requires_grad)
                for key, value in chain(part.named_parameters(), part.named_buffers())
            ],
        )
        for name, part in model.components.items()
        if isinstance(part, torch.nn.Module)
    }


def test_the_model_is_what_it_was_after_adapters_came_and_went(shelf: Shelf) -> None:
    before, drawn = fingerprint(shelf.model), draw(shelf.model, request())
    adapted = shelf.adapted(EVERYTHING)
    draw(adapted, EVERYTHING, FILES)
    del adapted
    gc.collect()
    assert fingerprint(shelf.model) == before
    assert draw(shelf.model, request()).tobytes() == drawn.tobytes()


def test_the_model_draws_the_same_while_its_copies_draw(shelf: Shelf) -> None:
    alone = draw(shelf.model, request())
    adapted = begin(shelf.adapted(EVERYTHING), EVERYTHING, FILES)
    plain = begin(shelf.model, request())
    while plain.call is not None or not plain.is_finished:
        for picture in (adapted, plain):
            if not picture.is_finished:
                picture.advance(*(() if picture.call is None else (picture.call.run(),)))
    assert plain.result.tobytes() == alone.tobytes()


def test_adapted_parts_suspend_pictures_once(shelf: Shelf) -> None:
    """The copy's own forward is called, not the base's by way of what was copied along."""
    wanted = request(loras=LORAS)
    model = shelf.adapted(wanted)
    call = step_call(begin(model, wanted))
    assert call is not None and call.kind is Kind.STEP
    assert getattr(call.function, "__self__", None) is model.denoiser


def test_a_copy_of_a_network_takes_changes_for_itself() -> None:
    network: Any = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    twin: Any = copy_sharing_weights(network)
    assert twin[0].weight.data_ptr() == network[0].weight.data_ptr()
    assert twin[1].running_mean.data_ptr() == network[1].running_mean.data_ptr()
    twin.to(torch.float64)
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert all(weight.requires_grad for weight in network.parameters())
    assert not any(weight.requires_grad for weight in twin.parameters())
