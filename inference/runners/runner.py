"""How a model's denoiser is computed, below the suspension: batches and pictures do not see it.

`install` puts a runner in place of the network's own forward. What the runner cannot do, or does
otherwise than the network, the network does itself; the log says so once, and `Usage` counts it.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, Protocol

import torch

from inference.export.onnx_files import relative_error
from inference.export.parts import CannotExport, Part, unet_part
from inference.export.tensors import random_tensors
from inference.pipelines.calls import Kind
from inference.pipelines.loading import DENOISERS, Model, no_prediction
from inference.pipelines.picture import suspend
from inference.runners.compiled import Compiled
from inference.runners.exported import NoExport, OnnxRuntime, Served
from inference.runners.inputs import Inputs, Unsupported, read_inputs

log = logging.getLogger("easel.engine")

EAGER, COMPILE, ONNX_RUNTIME, TRITON = RUNNERS = ("eager", "compile", "onnxruntime", "triton")
# The greatest relative error at which a runner still computes the model that it is installed in:
# a half-precision number has a thousandth's, and another model's answer differs by all of it.
NEAR = {torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}
GUIDED_ROWS = 2


@dataclass(frozen=True)
class Choice:
    """`name` is one of RUNNERS. `exports` holds an export a model, `<exports>/<model>/`. `threads`
    are ONNX Runtime's. Calls of `rows` rows at the model's own size are made ready at load."""

    name: str
    exports: Path
    threads: int
    rows: Sequence[int] = (GUIDED_ROWS,)


@dataclass
class Usage:
    """Which calls the runner made and which the network itself, by reason."""

    runner: str
    calls: int = 0
    eager: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {"runner": self.runner, "calls": self.calls, "eager": dict(self.eager)}


class Backend(Protocol):
    def predict(self, inputs: Inputs) -> torch.Tensor:
        """The prediction for inputs in the order of the contract, on any device."""


def install(model: Model, name: str, choice: Choice) -> Usage:
    """Compute the model's denoiser as chosen. `name` is what requests call the model.

    The model must be suspended, and no picture may be under way. Adapted copies of a network are
    never computed by the runner of their base: their forward is their own.
    """
    usage = Usage(choice.name)
    if choice.name == EAGER:
        return usage
    part_name = next(known for known in DENOISERS if model.components.get(known) is not None)
    network = model.components[part_name]
    real = network.forward.__wrapped__
    try:
        part = _contract(part_name, network)
        backend = _make_backend(part, name, choice, real, model.device)
    except (CannotExport, NoExport) as error:
        log.warning("%s is computed by torch, not by %s: %s", name, choice.name, error)
        usage.eager[str(error)] = 0
        return usage
    runner = Runner(part, real, backend, usage, model.dtype, name)
    network.forward = runner.forward
    suspend(network, "forward", Kind.STEP, (model.identity, part_name), skipped=no_prediction)
    # Triton answers no model that is being loaded: there, the first picture's first call decides.
    if choice.name != TRITON:
        for rows in choice.rows:
            runner.warm_up(rows, model.device)
    return usage


def _contract(part_name: str, network: Any) -> Part:
    if part_name != "unet":
        raise CannotExport(f"only UNets can be, and it has a {part_name}")
    return unet_part(network)


def _make_backend(
    part: Part, name: str, choice: Choice, real: Callable[..., Any], device: torch.device
) -> Backend:
    if choice.name == COMPILE:
        return Compiled(real, device)
    if choice.name == ONNX_RUNTIME:
        return OnnxRuntime(part, choice.exports / name, choice.threads)
    return Served(part, name)


class Runner:
    """One denoiser's forward. Its first call is made both ways: a runner of another model's export
    is never asked again."""

    def __init__(
        self,
        part: Part,
        real: Callable[..., Any],
        backend: Backend,
        usage: Usage,
        dtype: torch.dtype,
        name: str,
    ) -> None:
        self._part, self._real, self._backend, self._name = part, real, backend, name
        self._usage, self._dtype = usage, dtype
        self._signature = signature(real)
        self._is_proven = False
        self._refusal = ""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the network's own, for calls with `return_dict=False`."""
        try:
            if self._refusal:
                raise Unsupported(self._refusal)
            inputs = read_inputs(self._part, self._signature, args, kwargs)
            if not self._is_proven:
                self._prove(inputs, self._real(*args, **kwargs)[0])
            answer = self._predict(inputs)
        except Unsupported as reason:
            self._note(str(reason))
            return self._real(*args, **kwargs)
        self._usage.calls += 1
        return (answer,)

    def warm_up(self, rows: int, device: torch.device) -> None:
        """Make a call of random numbers at the model's own size."""
        tensors = random_tensors(self._part.inputs, rows, self._part.sides())
        sample, timestep, states, *more = (
            value.to(device, torch.float32 if name == "timestep" else self._dtype)
            for name, value in tensors.items()
        )
        names = [tensor.name for tensor in self._part.inputs[3:]]
        added = dict(zip(names, more, strict=True)) or None
        with torch.no_grad():
            self.forward(sample, timestep, states, added_cond_kwargs=added, return_dict=False)

    def _predict(self, inputs: Inputs) -> torch.Tensor:
        sample = inputs["sample"]
        return self._backend.predict(inputs).to(sample.device, sample.dtype)

    def _prove(self, inputs: Inputs, expected: torch.Tensor) -> None:
        """Raises Unsupported, for good, unless the runner computes this model."""
        if not torch.isfinite(expected).all():
            raise Unsupported("numbers that are not finite")
        try:
            answer = self._predict(inputs)
        except Exception as error:
            self._refusal = f"it fails: {type(error).__name__}: {error}"
            raise Unsupported(self._refusal) from error
        difference = relative_error(answer.float().cpu().numpy(), expected.float().cpu().numpy())
        if not difference <= NEAR[self._dtype]:
            self._refusal = f"it computes another model (relative difference {difference:.1e})"
            raise Unsupported(self._refusal)
        self._is_proven = True

    def _note(self, reason: str) -> None:
        if reason not in self._usage.eager:
            log.warning(
                "calls of %s are computed by torch, not by %s: %s",
                self._name,
                self._usage.runner,
                reason,
            )
        self._usage.eager[reason] += 1
