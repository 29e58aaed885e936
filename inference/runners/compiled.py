"""The UNet compiled by torch for each shape, on a GPU replayed as a CUDA graph."""

from collections.abc import Callable, Hashable
from typing import Any

import torch

from inference.pipelines.calls import pad
from inference.runners.choice import COMPILE
from inference.runners.inputs import Inputs

# Calls are padded to one of these: each count of rows is compiled anew.
ROWS = (1, 2, 4, 8, 12, 16, 24, 32)
WARM_UP_CALLS = 3
SHAPES_LIMIT = 256

Predict = Callable[..., torch.Tensor]


class Compiled:
    """`forward` is the network's own; `backend` is one of torch.compile's."""

    def __init__(
        self, forward: Callable[..., Any], device: torch.device, backend: str = "inductor"
    ) -> None:
        torch._dynamo.config.recompile_limit = SHAPES_LIMIT
        torch._dynamo.config.accumulated_recompile_limit = 4 * SHAPES_LIMIT
        self._predict: Predict = torch.compile(_plain(forward), dynamic=False, backend=backend)
        self.name, self.bytes = COMPILE, 0
        self._uses_graphs = device.type == "cuda"
        self._graphs: dict[Hashable, Graph] = {}

    def predict(self, inputs: Inputs) -> torch.Tensor:
        rows = len(inputs["sample"])
        padded = pad_rows(inputs, next((size for size in ROWS if size >= rows), rows))
        if not self._uses_graphs:
            return self._predict(**padded)[:rows]
        key = tuple((tuple(value.shape), value.dtype) for value in padded.values())
        if key not in self._graphs:
            self._graphs[key] = Graph(self._predict, padded)
        return self._graphs[key](padded)[:rows]


class Graph:
    """One shape's calls as a CUDA graph: its kernels are launched at once, in fixed memory."""

    def __init__(self, predict: Predict, inputs: Inputs) -> None:
        self._inputs = {name: value.clone() for name, value in inputs.items()}
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_CALLS):
                predict(**self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # Another thread may decode a picture meanwhile: that must not end the capture.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._answer = predict(**self._inputs)

    def __call__(self, inputs: Inputs) -> torch.Tensor:
        for name, value in inputs.items():
            self._inputs[name].copy_(value)
        self._graph.replay()
        # The next replay writes into the same memory.
        return self._answer.clone()


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
