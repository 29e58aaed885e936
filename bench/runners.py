"""The UNet by another runner beside torch's: `./easel bench runners [--json]`.

    python -m bench.runners [--json]

`ort_vs_eager`: the demo model's UNet for a guided picture (two rows at its own size) on one
thread, by torch and by ONNX Runtime from a fresh export; calls take turns, and the medians of one
run are compared. Goal: 1.4 or more. Needs torch: the inference environment's Python.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from bench.figures import run
from inference.export.layout import FILE
from inference.export.onnx_files import write_onnx
from inference.export.parts import Part, load_part, unet_part
from inference.export.tensors import random_tensors, relative_error
from inference.runners.exported import OnnxRuntime

MODEL = Path(__file__).parents[1] / "inference" / "demo_model"
ROWS, THREADS = 2, 1
ROUNDS, WARM_UP_ROUNDS = 60, 5


def measure() -> dict[str, float]:
    """Milliseconds of a call by each, their ratio, and how far the answers are apart."""
    torch.set_num_threads(THREADS)
    part = unet_part(load_part(MODEL, "unet"))
    inputs = random_tensors(part.inputs, ROWS, part.sides())
    exported = export(part)

    def by_torch() -> torch.Tensor:
        with torch.no_grad():
            answer: torch.Tensor = part.network(*inputs.values())[0]
        return answer

    def by_onnx_runtime() -> torch.Tensor:
        return exported.predict(inputs)

    eager, ort = take_turns([by_torch, by_onnx_runtime])
    return {
        "ort_vs_eager": round(eager / ort, 2),
        "eager_ms": round(eager * 1000, 2),
        "ort_ms": round(ort * 1000, 2),
        "relative_error": relative_error(by_onnx_runtime().numpy(), by_torch().numpy()),
        "rows": ROWS,
        "threads": THREADS,
        "rounds": ROUNDS,
    }


def export(part: Part) -> OnnxRuntime:
    """A session over a fresh export; its file is gone when this returns."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "onnx" / part.name
        place.mkdir(parents=True)
        assert write_onnx(part, place).name == FILE
        return OnnxRuntime(part, Path(folder), THREADS, torch.device("cpu"))


def take_turns(calls: Sequence[Callable[[], torch.Tensor]]) -> list[float]:
    """The median seconds of each call; every round makes all of them."""
    seconds: list[list[float]] = [[] for _ in calls]
    for number in range(WARM_UP_ROUNDS + ROUNDS):
        for call, spent in zip(calls, seconds, strict=True):
            began = time.perf_counter()
            call()
            if number >= WARM_UP_ROUNDS:
                spent.append(time.perf_counter() - began)
    return [statistics.median(spent) for spent in seconds]


if __name__ == "__main__":
    run(__doc__, measure, sys.argv[1:])
