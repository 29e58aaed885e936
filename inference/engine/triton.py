"""The engine inside Triton's Python backend: the only module that touches its API.

Requests are opened and answered by the engine's thread alone; Triton's own thread only calls
`Service.execute`, which puts them into the inbox.
"""

import atexit
import json
import logging
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # exists inside Triton only

from inference.engine.device import find_device
from inference.engine.engine import Arrival, Engine
from inference.engine.events import Event, Failure, Picture
from inference.engine.settings import read_settings

log = logging.getLogger("easel.engine")
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonSender:
    """The response sender of one decoupled request, as the engine's Sender."""

    def __init__(self, sender: Any) -> None:
        self._sender = sender

    def is_cancelled(self) -> bool:
        return bool(self._sender.is_cancelled())

    def send(self, event: Event, preview: Picture | None = None, checkpoint: bytes = b"") -> None:
        tensors = [_event_tensor(event)]
        if checkpoint:
            tensors.append(pb_utils.Tensor("CHECKPOINT", np.frombuffer(checkpoint, np.uint8)))
        if preview is not None:
            tensors.append(pb_utils.Tensor("PREVIEW", preview))
        self._sender.send(pb_utils.InferenceResponse(tensors))

    def finish(self, event: Event, image: Picture | None = None) -> None:
        tensors = [_event_tensor(event)]
        if image is not None:
            tensors.append(pb_utils.Tensor("IMAGE", image))
        self._sender.send(pb_utils.InferenceResponse(tensors), flags=FINAL)

    def fail(self, failure: Failure, message: str) -> None:
        error = pb_utils.TritonError(message, getattr(pb_utils.TritonError, failure.value))
        self._sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)


class Service:
    """What `1/model.py` hands Triton's calls to."""

    def __init__(self, arguments: Mapping[str, str], root: Path) -> None:
        """Start the engine. Raises LoadError, OSError, RuntimeError or ValueError with a sentence
        for the log."""
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s: %(message)s")
        check_tensors()
        config = json.loads(arguments["model_config"])
        parameters = {k: v["string_value"] for k, v in config.get("parameters", {}).items()}
        device = find_device(arguments)
        settings = read_settings(root, parameters, os.environ, on_gpu=device.type == "cuda")
        self._engine = Engine(settings, device)
        self._engine.start()
        self._metrics_server = None
        if settings.metrics_port:
            port = settings.metrics_port
            try:
                self._metrics_server = self._engine.metrics.serve(settings.metrics_address, port)[0]
            except OSError as error:
                # An engine that hangs keeps the port after its model was loaded anew.
                log.error("no metrics on port %d: %s", port, error)

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            self._engine.submit(partial(_open, request))

    def finalize(self) -> None:
        self._engine.stop()
        if self._metrics_server is not None:
            self._metrics_server.shutdown()
            self._metrics_server.server_close()
        # Nothing is left to do, and tearing down an interpreter with torch in it takes seconds.
        atexit.register(os._exit, 0)


def check_tensors() -> None:
    """Raises RuntimeError where Triton's tensors do not keep their values.

    With NumPy 2 this backend silently hands out wrong ones.
    """
    for dtype in (np.uint8, np.float32, np.int64):
        values = np.arange(-24 if dtype is not np.uint8 else 0, 24).astype(dtype).reshape(-1, 4)
        returned = pb_utils.Tensor("X", values).as_numpy()
        if returned.dtype != dtype or not np.array_equal(returned, values):
            raise RuntimeError(
                f"Triton's tensors change {np.dtype(dtype)} values with NumPy {np.__version__}: "
                "install numpy<2"
            )


def _open(request: Any) -> Arrival:
    text = pb_utils.get_input_tensor_by_name(request, "REQUEST").as_numpy().ravel()[0]
    files = pb_utils.get_input_tensor_by_name(request, "FILES")
    return Arrival(
        text=bytes(text),
        files=[] if files is None else [bytes(file) for file in files.as_numpy().ravel()],
        request_id=request.request_id(),
        sender=TritonSender(request.get_response_sender()),
    )


def _event_tensor(event: Event) -> Any:
    return pb_utils.Tensor("EVENT", np.array([json.dumps(event).encode()], dtype=np.object_))
