"""A part as an ONNX file by torch's exporter, and the file held against torch."""

import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch.export import Dim

from inference.export.layout import FILE
from inference.export.parts import CHUNK_TOKENS, Part
from inference.export.tensors import HEIGHT, TOKENS, WIDTH, random_tensors, relative_error

# Torch writes the oldest and converts; ONNX Runtime 1.23 and later loads the newest.
OLDEST_OPSET, NEWEST_OPSET = 18, 23
TOLERANCE = 1e-4
# A protobuf file ends at 2 GiB: heavier weights lie beside it.
INLINE_BYTES = 3 << 29
# Batch; shares of the native height and width, chunks of the prompt.
CHECKED = ((1, (1.0, 1.0, 1)), (2, (0.5, 1.0, 2)), (3, (0.75, 0.5, 1)))
MOST_CHUNKS = 32
CPU, CUDA = torch.device("cpu"), "CUDAExecutionProvider"


@dataclass(frozen=True)
class Check:
    """One comparison: the shapes of the inputs, and the greatest relative error of an output,
    max|onnx - torch| / max|torch|; infinite where an output is not finite or shaped otherwise."""

    shapes: dict[str, tuple[int, ...]]
    relative_error: float
    torch_seconds: float
    onnx_seconds: float


def write_onnx(part: Part, folder: Path, opset: int = NEWEST_OPSET) -> Path:
    """Write the part with a dynamic batch, height and width. Raises as torch's exporter,
    and ValueError for an opset that it does not write."""
    inputs = random_tensors(part.inputs, 2, part.sides())
    path = folder / FILE
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            part.network,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=[tensor.name for tensor in part.outputs],
            dynamic_shapes=_dynamic_shapes(part),
            dynamo=True,
            opset_version=opset,
            external_data=part.weight_bytes > INLINE_BYTES,
            verbose=False,
        )
    # A conversion that fails is a warning to the exporter, and leaves the oldest.
    imports = onnx.load(str(path), load_external_data=False).opset_import
    if opset not in [one.version for one in imports if not one.domain]:
        raise ValueError(f"torch's exporter did not write opset {opset}")
    return path


def open_session(
    path: Path, threads: int, device: torch.device = CPU
) -> onnxruntime.InferenceSession:
    """A session on this device, or on the CPU where this build of ONNX Runtime has no CUDA.

    Its waiting threads sleep: those that spin starve the rest of a small machine.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=_providers(device))


def _providers(device: torch.device) -> list[Any]:
    """By name: TensorRT would be the first of all that there are, and build engines for hours."""
    if device.type != "cuda" or CUDA not in onnxruntime.get_available_providers():
        return ["CPUExecutionProvider"]
    # The rest of the device's memory is torch's: its arena grows by what is asked for.
    settings = {"device_id": device.index or 0, "arena_extend_strategy": "kSameAsRequested"}
    return [(CUDA, settings), "CPUExecutionProvider"]


def check_onnx(part: Part, path: Path, threads: int) -> list[Check]:
    """Compare the file with torch over several batch sizes and shapes, on the CPU: a GPU would
    multiply with fewer bits."""
    session = open_session(path, threads)
    return [
        _check(part, session, random_tensors(part.inputs, batch, part.sides(*shares), seed))
        for seed, (batch, shares) in enumerate(CHECKED)
    ]


def _check(part: Part, session: Any, inputs: dict[str, torch.Tensor]) -> Check:
    began = time.perf_counter()
    with torch.no_grad():
        expected = [output.numpy() for output in part.network(*inputs.values())]
    middle = time.perf_counter()
    names = [tensor.name for tensor in part.outputs]
    answers = session.run(names, {name: value.numpy() for name, value in inputs.items()})
    ended = time.perf_counter()
    errors = map(relative_error, answers, expected)
    shapes = {name: tuple(value.shape) for name, value in inputs.items()}
    return Check(shapes, max(errors), middle - began, ended - middle)


def _dynamic_shapes(part: Part) -> tuple[dict[int, Any], ...]:
    """The batch, the tokens, and each side as a whole number of multiples."""
    most = 8 * part.native // part.multiple
    varying: dict[str, Any] = {TOKENS: Dim(TOKENS, min=2, max=MOST_CHUNKS * CHUNK_TOKENS)}
    for side in (HEIGHT, WIDTH) if part.native else ():
        varying[side] = part.multiple * Dim(side, min=1, max=most)
    batch = Dim("batch", min=1, max=part.max_batch)
    return tuple(
        {0: batch}
        | {axis: varying[dim] for axis, dim in enumerate(tensor.dims, 1) if isinstance(dim, str)}
        for tensor in part.inputs
    )
