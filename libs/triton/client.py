"""Generations over Triton's gRPC stream: one stream a request, closed to cancel."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import numpy as np
from pydantic import ValidationError
from tritonclient.grpc import KeepAliveOptions, aio
from tritonclient.utils import InferenceServerException

from libs.triton.contract import MODEL, Done, GenerationRequest, Progress, Started, parse_event
from libs.triton.errors import (
    EngineStalled,
    EngineUnhealthy,
    GenerationFailed,
    InvalidGeneration,
    ServerDraining,
    ServerUnavailable,
    TritonError,
    classify,
)

# Without it a stream's errors are texts without a status.
STATUS_HEADERS = {"triton_grpc_error": "true"}
CONTROL_HEADER = "triton-grpc-protocol-easel-control"
READY_SECONDS = 5.0
LOAD_SECONDS = 60.0
NOTHING = "{}"
KEEP_ALIVE = KeepAliveOptions()
# They replace tritonclient's own, which are the last six here; gRPC's own backoff grows to 120 s.
CHANNEL_ARGUMENTS = [
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", KEEP_ALIVE.keepalive_time_ms),
    ("grpc.keepalive_timeout_ms", KEEP_ALIVE.keepalive_timeout_ms),
    ("grpc.keepalive_permit_without_calls", KEEP_ALIVE.keepalive_permit_without_calls),
    ("grpc.http2.max_pings_without_data", KEEP_ALIVE.http2_max_pings_without_data),
]


class TritonClient:
    """A client of the model `diffusion`. Nothing is connected before the first call.

    `url` is host:port of Triton's gRPC endpoint; `control_key` lets it load the model anew. After
    `quiet_seconds` without an event a generation asks whether the engine lives, and gives up when
    that is not answered in `stall_seconds` either. Belongs to one event loop.
    """

    def __init__(
        self,
        url: str,
        *,
        control_key: str = "",
        quiet_seconds: float = 5.0,
        stall_seconds: float = 60.0,
    ) -> None:
        self._url = url
        self._control_headers = {CONTROL_HEADER: control_key} if control_key else {}
        self._quiet_seconds = quiet_seconds
        self._stall_seconds = stall_seconds
        self._connection: aio.InferenceServerClient | None = None
        self._reloading = asyncio.Lock()

    async def generate(
        self, request: GenerationRequest, request_id: str = ""
    ) -> AsyncGenerator[Started | Progress | Done, None]:
        """The events of one picture, `Done` last. Close the generator (`aclose`) to cancel.

        Raises a TritonError: see libs.triton.errors for which one may be tried again.
        """
        stream = self._stream(request.model_dump_json(), request_id)
        is_open = True
        try:
            while is_open:
                event = await self._next_event(stream)
                is_open = not isinstance(event, Done)
                yield event
        except grpc.aio.AioRpcError as failure:
            is_open = False
            raise classify(failure.code(), failure.details() or "") from failure
        finally:
            if is_open:
                stream.cancel()

    async def is_ready(self) -> bool:
        """Whether the server answers and says that the model is loaded.

        That holds for an engine whose process died, too: Triton notices at the next request.
        """
        try:
            ready = await self._connect().is_model_ready(MODEL, client_timeout=READY_SECONDS)
        except InferenceServerException:
            return False
        return bool(ready)

    async def is_alive(self) -> bool:
        """Whether the engine's process is there; asked by a request for nothing, which it refuses.

        Raises EngineStalled when it does not answer, or what else keeps the answer away.
        """
        stream = self._stream(NOTHING, "")
        try:
            async with asyncio.timeout(self._stall_seconds):
                _, refusal = await anext(stream)
        except grpc.aio.AioRpcError as failure:
            error = classify(failure.code(), failure.details() or "")
            if isinstance(error, InvalidGeneration | EngineUnhealthy):
                return isinstance(error, InvalidGeneration)
            raise error from failure
        except TimeoutError:
            raise EngineStalled(f"no answer in {self._stall_seconds:g} s") from None
        if refusal is not None:
            raise _classified(refusal)
        raise GenerationFailed("the engine took a request for nothing")

    async def reload(self) -> bool:
        """Load the model anew if the engine's process died, hangs or is not loaded; whether it did.

        Needs the control key. Raises TritonError when the model cannot be loaded.
        """
        async with self._reloading:
            if await self._answers():
                return False
            connection, headers = self._connect(), self._control_headers
            # Triton takes a load of a loaded model for a wish that is fulfilled.
            try:
                await connection.unload_model(MODEL, headers=headers, client_timeout=LOAD_SECONDS)
                await connection.load_model(MODEL, headers=headers, client_timeout=LOAD_SECONDS)
            except InferenceServerException as error:
                raise _classified(error) from error
            return True

    async def _answers(self) -> bool:
        try:
            return await self.is_alive()
        except (EngineStalled, ServerDraining):  # not loaded: an earlier load failed
            return False

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _connect(self) -> aio.InferenceServerClient:
        if self._connection is None:
            self._connection = aio.InferenceServerClient(self._url, channel_args=CHANNEL_ARGUMENTS)
        return self._connection

    def _stream(self, text: str, request_id: str) -> Any:
        requests = _single_request(text, request_id)
        return self._connect().stream_infer(requests, headers=STATUS_HEADERS)

    async def _next_event(self, stream: Any) -> Started | Progress | Done:
        # Not a timeout around it: cancelling the read would cancel the request.
        reading = asyncio.ensure_future(anext(stream))
        try:
            while not (await asyncio.wait({reading}, timeout=self._quiet_seconds))[0]:
                if not await self.is_alive():
                    raise EngineUnhealthy("the engine died during the generation")
            result, error = reading.result()
        except StopAsyncIteration:
            raise ServerUnavailable("the stream ended without a picture") from None
        finally:
            reading.cancel()
        if error is not None:
            raise _classified(error)
        return _read_event(result)


async def _single_request(text: str, request_id: str) -> AsyncIterator[dict[str, Any]]:
    tensor = aio.InferInput("REQUEST", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode()], dtype=np.object_))
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
