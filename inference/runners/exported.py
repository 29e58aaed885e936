"""An exported UNet: run by ONNX Runtime in this process, or by Triton in the same server."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import dlpack

from inference.export.layout import FILE, REPOSITORY, served_name
from inference.export.parts import Part
from inference.runners.choice import ONNX_RUNTIME, TRITON
from inference.runners.inputs import Inputs


class NoExport(Exception):
    """There is no export of this model that could be run here; the text says where it was looked
    for, or what is missing."""


class OnnxRuntime:
    """A session over the ONNX file of an export."""

    def __init__(self, part: Part, export: Path, threads: int, device: torch.device) -> None:
        """`export` is the output's folder of `easel export`. Raises NoExport, also where this ONNX
        Runtime cannot use the device."""
        files = sorted(export.glob(f"{REPOSITORY}/*-{part.name}/1/{FILE}"))
        files += sorted(export.glob(f"onnx/{part.name}/{FILE}"))
        if not files:
            raise NoExport(f"there is no exported {part.name} below {export}")
        # Imported by those who run it: it takes a while, and memory.
        import onnxruntime

        from inference.export.onnx_files import CUDA, open_session
        from inference.export.report import digest

        self._session = open_session(files[0], threads, device)
        if device.type == "cuda" and CUDA not in self._session.get_providers():
            raise NoExport("this ONNX Runtime has no CUDA: install onnxruntime-gpu")
        stored = sorted(files[0].parent.glob(f"{FILE}*"))
        self.bytes = sum(path.stat().st_size for path in stored)
        digests = ", ".join(map(digest, stored))
        self.name = f"{ONNX_RUNTIME} {onnxruntime.__version__}, {digests}"
        self._output = part.outputs[0].name

    def predict(self, inputs: Inputs) -> torch.Tensor:
        arrays = {name: _to_array(value) for name, value in inputs.items()}
        return torch.from_numpy(self._session.run([self._output], arrays)[0])


class Served:
    """A model of the same Triton, asked from within (business logic scripting): whatever backend
    its config.pbtxt names."""

    def __init__(self, part: Part, model: str) -> None:
        # Exists inside Triton only.
        import triton_python_backend_utils as pb_utils

        self._triton = pb_utils
        self.name, self.bytes = TRITON, 0
        self._name = served_name(model, part.name)
        self._part = part

    def predict(self, inputs: Inputs) -> torch.Tensor:
        """Raises RuntimeError where Triton does not answer."""
        most = self._part.max_batch
        chunks = zip(*(torch.split(value, most) for value in inputs.values()), strict=True)
        return torch.cat([self._ask(dict(zip(inputs, chunk, strict=True))) for chunk in chunks])

    def _ask(self, inputs: Inputs) -> torch.Tensor:
        output = self._part.outputs[0].name
        # A number a row has an axis of one on the wire.
        arrays = {name: _to_array(value) for name, value in inputs.items()}
        tensors = [
            self._triton.Tensor(name, array if array.ndim > 1 else array[:, None])
            for name, array in arrays.items()
        ]
        request = self._triton.InferenceRequest(
            model_name=self._name, requested_output_names=[output], inputs=tensors
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(f"{self._name}: {response.error().message()}")
        answer = self._triton.get_output_tensor_by_name(response, output)
        if answer.is_cpu():
            return torch.from_numpy(answer.as_numpy().copy())
        return dlpack.from_dlpack(answer.to_dlpack()).clone()


def _to_array(value: torch.Tensor) -> Any:
    return np.ascontiguousarray(value.float().cpu().numpy())
