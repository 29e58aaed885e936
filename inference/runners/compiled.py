"""The UNet compiled by torch for each shape, on a GPU replayed as a CUDA graph."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

import torch

from inference.pipelines.calls import pad
from inference.runners.choice import COMPILE
from inference.runners.faults import capturing
from inference.runners.inputs import Inputs

# Calls are padded to one of these: each count of rows is compiled anew.
ROWS = (1, 2, 4, 8, 12, 16, 24, 32)
WARM_UP_CALLS = 3
SHAPES_LIMIT, PROCESS_LIMIT = 256, 1 << 16
# Shapes whose graphs are kept: each holds its inputs and its answer, and all share the rest.
GRAPHS_KEPT = 16
# Inductor chooses kernels by measuring them unless told that results depend on it: two processes
# would draw other bytes.
SAME_EVERYWHERE = {"deterministic": True}

Predict = Callable[..., torch.Tensor]


class Compiled:
    """`forward` is the network's own; `backend` is one of torch.compile's. One thread at a time may
    call it."""

    def __init__(
        self,
        forward: Callable[..., Any],
        device: torch.device,
        backend: str | Callable[..., Any] = "inductor",
    ) -> None:
        # The limit is an argument: torch's settings hold on the thread alone that makes them.
        compile_network: Any = torch.compile
        self._predict: Predict = compile_network(
            _plain(forward),
            dynamic=False,
            backend=backend,
            options=dict(SAME_EVERYWHERE) if backend == "inductor" else None,
            recompile_limit=SHAPES_LIMIT,
            isolate_recompiles=True,
        )
        self.name, self.bytes = COMPILE, 0
        self._uses_graphs = device.type == "cuda"
        self._graphs: OrderedDict[Hashable, Graph] = OrderedDict()
        self._pool: Any = None

    def predict(self, inputs: Inputs) -> torch.Tensor:
        rows = len(inputs["sample"])
        padded = pad_rows(inputs, next((size for size in ROWS if size >= rows), rows))
        if not self._uses_graphs:
            return self._call(**padded)[:rows]
        return self._graph(padded)(padded)[:rows]

    def _graph(self, inputs: Inputs) -> "Graph":
        """The graph of this shape; of many shapes, the one that was used longest ago leaves."""
        key = tuple((tuple(value.shape), value.dtype) for value in inputs.values())
        if key not in self._graphs:
            while len(self._graphs) >= GRAPHS_KEPT:
                self._graphs.popitem(last=False)
            if not self._graphs:  # a pool ends with its last graph
                self._pool = torch.cuda.graph_pool_handle()
            self._graphs[key] = Graph(self._call, inputs, self._pool)
        self._graphs.move_to_end(key)
        return self._graphs[key]

    def _call(self, **inputs: torch.Tensor) -> torch.Tensor:
        # A second limit, for all networks together, has no argument.
        with torch._dynamo.config.patch(accumulated_recompile_limit=PROCESS_LIMIT):
            return self._predict(**inputs)


class Graph:
    """One shape's calls as a CUDA graph: its kernels are launched at once, in fixed memory.

    Graphs of one `pool` use the same memory for what they compute on the way, so they must be
    replayed one after another.
    """

    def __init__(self, predict: Predict, inputs: Inputs, pool: Any) -> None:
        self._inputs = {name: value.clone() for name, value in inputs.items()}
        predict(**self._inputs)  # Compiles, which may take minutes.
        self._graph = torch.cuda.CUDAGraph()
        with capturing:
            usual, stream = torch.cuda.current_stream(), _capture_stream()
            stream.wait_stream(usual)
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_CALLS):
                    predict(**self._inputs)
            usual.wait_stream(stream)
            # A capture that fails leaves its stream the thread's current one: the outer block
            # undoes that. Another thread may decode a picture meanwhile: that must not end it.
            with (
                torch.cuda.stream(usual),
                torch.cuda.graph(
                    self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"
                ),
            ):
                self._answer = predict(**self._inputs)

    def __call__(self, inputs: Inputs) -> torch.Tensor:
        for name, value in inputs.items():
            self._inputs[name].copy_(value)
        self._graph.replay()
        # The next replay writes into the same memory.
        return self._answer.clone()


@cache
def _capture_stream() -> Any:
    """One for all: torch has 32 streams, and gives the first out again after the last. A capture on
    a stream that another thread uses would record what that thread does."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def pad_rows(inputs: Inputs, rows: int) -> Inputs:
    """The inputs with their first row repeated at the end, up to `rows`; contiguous."""
    return {name: pad(value, rows - len(value)).contiguous() for name, value in inputs.items()}


def _plain(forward: Callable[..., Any]) -> Predict:
    """The network as a function of tensors alone."""

    def predict(
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        text_embeds: torch.Tensor | None = None,
        time_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        added = None if text_embeds is None else {"text_embeds": text_embeds, "time_ids": time_ids}
        answer: tuple[torch.Tensor, ...] = forward(
            sample, timestep, encoder_hidden_states, added_cond_kwargs=added, return_dict=False
        )
        return answer[0]

    return predict
