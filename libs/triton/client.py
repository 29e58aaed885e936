"""Generations over Triton's gRPC stream: one stream a request, closed to cancel."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import numpy as np
from pydantic import ValidationError
from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

from libs.triton.contract import MODEL, Done, GenerationRequest, Progress, Started, parse_event
from libs.triton.errors import (
    EngineStalled,
    GenerationFailed,
    ServerUnavailable,
    TritonError,
    classify,
)

# Without it a stream's errors are texts without a status.
STATUS_HEADERS = {"triton_grpc_error": "true"}
CONTROL_HEADER = "triton-grpc-protocol-easel-control"


class TritonClient:
    """A client of the model `diffusion`. Nothing is connected before the first call.

    `url` is host:port of Triton's gRPC endpoint; `control_key` lets it load the model anew.
    A generation without an event for `idle_seconds` counts as stalled. Belongs to one event loop.
    """

    def __init__(self, url: str, *, control_key: str = "", idle_seconds: float = 60.0) -> None:
        self._url = url
        self._control_headers = {CONTROL_HEADER: control_key} if control_key else {}
        self._idle_seconds = idle_seconds
        self._connection: aio.InferenceServerClient | None = None

    async def generate(
        self, request: GenerationRequest, request_id: str = ""
    ) -> AsyncGenerator[Started | Progress | Done, None]:
        """The events of one picture, `Done` last. Close the generator (`aclose`) to cancel.

        Raises a TritonError: see libs.triton.errors for which one may be tried again.
        """
        stream = self._connect().stream_infer(
            _single_request(request, request_id), headers=STATUS_HEADERS
        )
        try:
            while True:
                event = await self._next_event(stream)
                yield event
                if isinstance(event, Done):
                    return
        finally:
            stream.cancel()

    async def is_ready(self) -> bool:
        """Whether the server answers and says that the model is loaded.

        An engine whose process died still counts as ready: Triton notices at the next request.
        """
        try:
            return bool(await self._connect().is_model_ready(MODEL, client_timeout=5))
        except InferenceServerException:
            return False

    async def reload(self) -> None:
        """Load the model anew, which restarts an engine that died. Raises TritonError."""
        try:
            await self._connect().load_model(MODEL, headers=self._control_headers)
        except InferenceServerException as error:
            raise _classified(error) from error

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _connect(self) -> aio.InferenceServerClient:
        if self._connection is None:
            self._connection = aio.InferenceServerClient(self._url)
        return self._connection

    async def _next_event(self, stream: Any) -> Started | Progress | Done:
        try:
            async with asyncio.timeout(self._idle_seconds):
                result, error = await anext(stream)
        except StopAsyncIteration:
            raise ServerUnavailable("the stream ended without a picture") from None
        except TimeoutError:
            raise EngineStalled(f"no event for {self._idle_seconds:g} s") from None
        except grpc.aio.AioRpcError as failure:
            raise classify(failure.code(), failure.details() or "") from failure
        if error is not None:
            raise _classified(error)
        return _read_event(result)


async def _single_request(
    request: GenerationRequest, request_id: str
) -> AsyncIterator[dict[str, Any]]:
    tensor = aio.InferInput("REQUEST", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([request.model_dump_json().encode()], dtype=np.object_))
    yield {"model_name": MODEL, "inputs": [tensor], "request_id": request_id}


def _read_event(result: aio.InferResult) -> Started | Progress | Done:
    text = result.as_numpy("EVENT")
    if text is None:
        raise GenerationFailed("the engine answered without an event")
    preview, image = result.as_numpy("PREVIEW"), result.as_numpy("IMAGE")
    try:
        return parse_event(text.ravel()[0], preview=preview, image=image)
    except ValidationError as error:
        raise GenerationFailed(f"the engine's event is not in the contract: {error}") from error


def _classified(error: InferenceServerException) -> TritonError:
    name = str(error.status() or "").removeprefix("StatusCode.")
    code = grpc.StatusCode.__members__.get(name, grpc.StatusCode.UNKNOWN)
    return classify(code, error.message() or "")
