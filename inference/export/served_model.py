"""An ONNX file in Triton's Python backend: copied into a repository as `1/model.py`.

For servers that carry no ONNX Runtime backend. It keeps that backend's tensor contract: the
requests that Triton's batcher hands over together are one call. It needs NumPy and ONNX Runtime in
the server's Python, and nothing of the repository that it was exported from.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"]).get("parameters", {})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["threads"]["string_value"])
        # Waiting threads that spin starve the rest of a small machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = Path(__file__).with_name("model.onnx")
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [tensor.name for tensor in self.session.get_inputs()]
        self.outputs = [tensor.name for tensor in self.session.get_outputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        import triton_python_backend_utils as pb_utils  # exists inside Triton only

        given = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]
            for request in requests
        ]
        columns = [np.concatenate(column) for column in zip(*given, strict=True)]
        answers = self.session.run(self.outputs, dict(zip(self.inputs, columns, strict=True)))
        ends = np.cumsum([len(arrays[0]) for arrays in given])[:-1]
        rows = zip(*(np.split(answer, ends) for answer in answers), strict=True)
        return [pb_utils.InferenceResponse(self._tensors(pb_utils, parts)) for parts in rows]

    def _tensors(self, pb_utils: Any, parts: tuple[Any, ...]) -> list[Any]:
        named = zip(self.outputs, parts, strict=True)
        return [pb_utils.Tensor(name, np.ascontiguousarray(part)) for name, part in named]
