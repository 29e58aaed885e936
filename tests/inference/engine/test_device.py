"""Which device an engine takes, and what it says of one that it cannot use."""

import threading

import pytest
import torch

from inference.engine.device import find_device
from inference.engine.workers import Worker


def gpu(number: int) -> dict[str, str]:
    return {"model_instance_kind": "GPU", "model_instance_device_id": str(number)}


def test_without_a_gpu_of_triton_it_is_the_cpu() -> None:
    assert find_device({**gpu(0), "model_instance_kind": "CPU"}).type == "cpu"
    assert find_device({}).type == "cpu"


def test_a_gpu_that_torch_cannot_use_is_no_reason_to_draw_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="install a CUDA build of torch"):
        find_device(gpu(0))


def test_an_engine_has_the_first_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device(gpu(0)) == torch.device("cuda", 0)
    with pytest.raises(RuntimeError, match="one Triton a GPU, and set CUDA_VISIBLE_DEVICES"):
        find_device(gpu(1))


def test_every_thread_begins_by_taking_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captures and waits name no device: they concern the thread's own."""
    taken: list[tuple[str, torch.device]] = []

    def set_device(device: torch.device) -> None:
        taken.append((threading.current_thread().name, device))

    monkeypatch.setattr(torch.cuda, "set_device", set_device)
    worker = Worker("steps", 1, torch.device("cuda", 1), lambda _: None)
    worker.stop()
    worker.join(10)
    assert taken == [("steps", torch.device("cuda", 1))]
