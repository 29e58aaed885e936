"""Generations over Triton's gRPC stream: one stream a request, closed to cancel."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, TypeVar

import grpc
import numpy as np
from pydantic import BaseModel, ValidationError
from tritonclient.grpc import KeepAliveOptions, aio
from tritonclient.utils import InferenceServerException

from libs.triton.contract import (
    MODEL,
    AnyEvent,
    Done,
    Drained,
    GenerationRequest,
    Loaded,
    Stats,
    Unloaded,
    parse_event,
)
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
MODEL_LOAD_SECONDS = 300.0
SIGN_OF_LIFE_SECONDS = 3.0
LOST_AFTER_LOOKS = 2  # once may be a request that is on its way
NOTHING = "{}"
E = TypeVar("E", bound=BaseModel)
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
    `quiet_seconds` without an event a generation asks whether the engine still has it, and gives up
    when that is not answered in `stall_seconds` either. Belongs to one event loop.
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
        self, request: GenerationRequest, request_id: str = "", files: Sequence[bytes] = ()
    ) -> AsyncGenerator[AnyEvent, None]:
        """The events of one picture, `Done` last. Close the generator (`aclose`) to cancel.

        `files` are what the request's indexes name: encoded pictures, a checkpoint. `request_id` is
        like no other: by it the request can be drained, and is known to be lost. Raises a
        TritonError: see libs.triton.errors for which one may be tried again.
        """
        stream = self._stream(request.model_dump_json(), request_id, files)
        is_open = True
        try:
            while is_open:
                event = await self._next_event(stream, request_id)
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

    async def is_alive(self, seconds: float | None = None) -> bool:
        """Whether the engine's process is there; asked by a request for nothing, which it refuses.

        Raises EngineStalled when it does not answer in so many seconds (`stall_seconds`), or what
        else keeps the answer away.
        """
        try:
            await self._first_answer(NOTHING, seconds or self._stall_seconds)
        except (InvalidGeneration, EngineUnhealthy) as answer:
            return isinstance(answer, InvalidGeneration)
        raise GenerationFailed("the engine took a request for nothing")

    async def stats(self) -> Stats:
        """What the engine does and which models it holds. Raises TritonError."""
        return await self._operate({"op": "stats"}, Stats, self._stall_seconds)

    async def drain(self, request_ids: Sequence[str] | None = None) -> int:
        """Have pictures handed back, all or those of the ids; how many were.

        Each generation gets its last checkpoint and then raises HandedBack. Raises TritonError.
        """
        wish = {"op": "drain", "requests": None if request_ids is None else list(request_ids)}
        return (await self._operate(wish, Drained, self._stall_seconds)).jobs

    async def load_model(self, name: str) -> float:
        """Put a model into the engine's memory; the seconds that it took. Raises TritonError."""
        return (
            await self._operate({"op": "load", "model": name}, Loaded, MODEL_LOAD_SECONDS)
        ).seconds

    async def unload_model(self, name: str) -> bool:
        """Take a model out of the engine's memory; whether it was there.

        Raises EngineBusy while a picture uses it, or another TritonError.
        """
        wish = {"op": "unload", "model": name}
        return (await self._operate(wish, Unloaded, self._stall_seconds)).was_loaded

    async def reload(self) -> bool:
        """Load the engine anew if its process died, hangs or is not loaded; whether it did.

        Needs the control key. Raises TritonError when it cannot be loaded.
        """
        async with self._reloading:
            is_loaded = True
            try:
                if await self.is_alive(min(SIGN_OF_LIFE_SECONDS, self._stall_seconds)):
                    return False
            except EngineStalled:
                pass
            except ServerDraining:  # an earlier load failed, or another one is under way
                is_loaded = False
            connection, headers = self._connect(), self._control_headers
            # Triton takes a load of a loaded model for a wish that is fulfilled.
            wishes = [connection.load_model]
            if is_loaded:
                wishes.insert(0, connection.unload_model)
            try:
                for wish in wishes:
                    await wish(MODEL, headers=headers, client_timeout=LOAD_SECONDS)
            except InferenceServerException as error:
                raise _classified(error) from error
            return True

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _connect(self) -> aio.InferenceServerClient:
        if self._connection is None:
            self._connection = aio.InferenceServerClient(self._url, channel_args=CHANNEL_ARGUMENTS)
        return self._connection

    def _stream(self, text: str, request_id: str = "", files: Sequence[bytes] = ()) -> Any:
        requests = _single_request(text, request_id, files)
        return self._connect().stream_infer(requests, headers=STATUS_HEADERS)

    async def _operate(self, wish: dict[str, Any], kind: type[E], seconds: float) -> E:
        text = _text_of(await self._first_answer(json.dumps(wish), seconds))
        try:
            return kind.model_validate_json(text)
        except ValidationError as error:
            raise GenerationFailed(f"the answer is not in the contract: {error}") from error

    async def _first_answer(self, text: str, seconds: float) -> aio.InferResult:
        """The answer to a request that has one. Raises TritonError."""
        stream = self._stream(text)
        try:
            async with asyncio.timeout(seconds):
                result, error = await anext(stream)
        except grpc.aio.AioRpcError as failure:
            raise classify(failure.code(), failure.details() or "") from failure
        except TimeoutError:
            raise EngineStalled(f"no answer in {seconds:g} s") from None
        except StopAsyncIteration:
            raise ServerUnavailable("the stream ended without an answer") from None
        if error is not None:
            raise _classified(error)
        return result

    async def _next_event(self, stream: Any, request_id: str) -> AnyEvent:
        # Not a timeout around it: cancelling the read would cancel the request.
        reading = asyncio.ensure_future(anext(stream))
        times_unknown = 0
        try:
            while not (await asyncio.wait({reading}, timeout=self._quiet_seconds))[0]:
                is_known = request_id in (await self.stats()).requests
                times_unknown = 0 if is_known else times_unknown + 1
                if times_unknown == LOST_AFTER_LOOKS:
                    raise EngineUnhealthy("another engine has taken the place of the one that drew")
            result, error = reading.result()
        except StopAsyncIteration:
            raise ServerUnavailable("the stream ended without a picture") from None
        finally:
            reading.cancel()
        if error is not None:
            raise _classified(error)
        return _read_event(result)


async def _single_request(
    text: str, request_id: str, files: Sequence[bytes]
) -> AsyncIterator[dict[str, Any]]:
    inputs = [_bytes_tensor("REQUEST", [text.encode()])]
    if files:
        inputs.append(_bytes_tensor("FILES", files))
    yield {"model_name": MODEL, "inputs": inputs, "request_id": request_id}


def _bytes_tensor(name: str, values: Sequence[bytes]) -> aio.InferInput:
    tensor = aio.InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array(values, dtype=np.object_))
    return tensor


def _text_of(result: aio.InferResult) -> bytes:
    text = result.as_numpy("EVENT")
    if text is None:
        raise GenerationFailed("the engine answered without an event")
    return bytes(text.ravel()[0])


def _read_event(result: aio.InferResult) -> AnyEvent:
    preview, image = result.as_numpy("PREVIEW"), result.as_numpy("IMAGE")
    checkpoint = result.as_numpy("CHECKPOINT")
    try:
        return parse_event(_text_of(result), preview=preview, image=image, checkpoint=checkpoint)
    except ValidationError as error:
        raise GenerationFailed(f"the engine's event is not in the contract: {error}") from error


def _classified(error: InferenceServerException) -> TritonError:
    name = str(error.status() or "").removeprefix("StatusCode.")
    code = grpc.StatusCode.__members__.get(name, grpc.StatusCode.UNKNOWN)
    return classify(code, error.message() or "")
