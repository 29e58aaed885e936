"""How a model's denoiser is computed, below the suspension: batches and pictures do not see it.

`install` puts a runner in place of the network's own forward. What the runner cannot do, or does
otherwise than the network, the network does itself; the log says so once, and `Usage` counts it.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from inspect import Signature, signature
from typing import Any, Protocol

import torch

from inference.export.parts import CHUNK_TOKENS, CannotExport, Part, unet_part
from inference.export.tensors import TOKENS, random_tensors, relative_error
from inference.pipelines.calls import Kind
from inference.pipelines.loading import DENOISERS, Model, no_prediction
from inference.pipelines.picture import suspend
from inference.runners.choice import COMPILE, EAGER, ONNX_RUNTIME, TRITON, Choice
from inference.runners.compiled import Compiled
from inference.runners.exported import NoExport, OnnxRuntime, Served
from inference.runners.faults import is_lost, is_out_of_memory
from inference.runners.inputs import Inputs, Unsupported, read_inputs

log = logging.getLogger("easel.engine")

# The greatest relative error at which a runner still computes the model that it is installed in:
# a half-precision number has a thousandth's, and another model's answer differs by all of it.
NEAR = {torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}


@dataclass
class Usage:
    """Which calls the runner made and which the network itself, by reason. `computed_by` names what
    a picture's bytes depend on; `bytes` are those of the weights that the runner has beside the
    network's."""

    runner: str
    computed_by: str = EAGER
    calls: int = 0
    eager: Counter[str] = field(default_factory=Counter)
    bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {"runner": self.runner, "runner_calls": self.calls, "eager_calls": dict(self.eager)}


class Backend(Protocol):
    name: str
    bytes: int

    def predict(self, inputs: Inputs) -> torch.Tensor:
        """The prediction for inputs in the order of the contract, on any device."""


def install(model: Model, name: str, choice: Choice) -> Usage:
    """Compute the model's denoiser as chosen. `name` is what requests call the model.

    The model must be suspended, and no picture may be under way. What cannot be computed so stays
    torch's, and is counted.
    """
    usage = Usage(choice.name)
    if choice.name == EAGER:
        return usage
    runner = Runner(name, usage, model.dtype)
    part_name, network, real = _beneath(model)
    runner.real, runner.signature = real, signature(real)
    try:
        runner.part = _contract(part_name, network)
        runner.backend = _make_backend(runner.part, name, choice, real, model.device)
        usage.bytes = runner.backend.bytes
    except (CannotExport, NoExport) as error:
        runner.refusal = str(error)
    _put(model, part_name, runner.forward)
    # Triton answers no model that is being loaded: there, the first picture's first call decides.
    if choice.name != TRITON:
        for rows in choice.rows:
            runner.warm_up(rows, _prompt_tokens(model), model.device)
    if not runner.refusal:
        usage.computed_by = runner.backend.name
    return usage


def install_adapted(model: Model, name: str, base: Model, usage: Usage) -> str:
    """Count the calls of a model that adapters were added to, in the usage of its base; what they
    are computed by. Its network is the base's own, or a copy, which torch alone computes."""
    if usage.runner == EAGER or model.denoiser is base.denoiser:
        return usage.computed_by
    runner = Runner(name, usage, model.dtype, refusal="adapted copies of the network")
    part_name, _, runner.real = _beneath(model)
    _put(model, part_name, runner.forward)
    return EAGER


def _beneath(model: Model) -> tuple[str, Any, Callable[..., Any]]:
    """Name of the denoiser, the denoiser, and what its suspended forward calls."""
    name = next(known for known in DENOISERS if model.components.get(known) is not None)
    network = model.components[name]
    return name, network, network.forward.__wrapped__


def _prompt_tokens(model: Model) -> int:
    """Of one chunk: what its text encoder reads at once."""
    encoders = (model.components.get(name) for name in ("text_encoder", "text_encoder_2"))
    config = next(encoder for encoder in encoders if encoder is not None).config
    return int(getattr(config, "max_position_embeddings", CHUNK_TOKENS))


def _put(model: Model, part_name: str, forward: Callable[..., Any]) -> None:
    network = model.components[part_name]
    network.forward = forward
    suspend(network, "forward", Kind.STEP, (model.identity, part_name), skipped=no_prediction)


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
        return OnnxRuntime(part, choice.exports / name, choice.threads, device)
    return Served(part, name)


@dataclass
class Runner:
    """One denoiser's forward. Its first call is made both ways: a runner of another model's export
    is never asked again. `refusal` says why all calls are torch's, `failures` why those of a shape
    are; shapes that were computed are `known`."""

    name: str
    usage: Usage
    dtype: torch.dtype
    refusal: str = ""
    real: Callable[..., Any] = field(init=False)
    signature: Signature = field(init=False)
    part: Part = field(init=False)
    backend: Backend = field(init=False)
    is_proven: bool = False
    known: set[Hashable] = field(default_factory=set)
    failures: dict[Hashable, str] = field(default_factory=dict)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the network's own, for calls with `return_dict=False`."""
        try:
            if self.refusal:
                raise Unsupported(self.refusal)
            inputs = read_inputs(self.part, self.signature, args, kwargs)
            if not self.is_proven:
                self._prove(inputs, self.real(*args, **kwargs)[0])
            answer = self._try(inputs)
        except Unsupported as reason:
            self._note(str(reason))
            return self.real(*args, **kwargs)
        self.usage.calls += 1
        return (answer,)

    def warm_up(self, rows: int, tokens: int, device: torch.device) -> None:
        """Make a call of random numbers at the model's own size, for a prompt of one chunk."""
        if self.refusal:
            return self._note(self.refusal, calls=0)
        tensors = random_tensors(self.part.inputs, rows, self.part.sides() | {TOKENS: tokens})
        sample, timestep, states, *more = (
            value.to(device, torch.float32 if name == "timestep" else self.dtype)
            for name, value in tensors.items()
        )
        names = [tensor.name for tensor in self.part.inputs[3:]]
        added = dict(zip(names, more, strict=True)) or None
        with torch.no_grad():
            self.forward(sample, timestep, states, added_cond_kwargs=added, return_dict=False)

    def _try(self, inputs: Inputs) -> torch.Tensor:
        """The prediction. Raises Unsupported for a shape that failed when it was new; whatever else
        fails, and a lack of memory, may go well the next time, and is raised as it is."""
        shape = tuple(tuple(value.shape) for value in inputs.values())
        if shape in self.failures:
            raise Unsupported(self.failures[shape])
        try:
            answer = self._predict(inputs)
        except Exception as error:
            if shape in self.known or is_lost(error) or is_out_of_memory(error):
                raise
            sample, line = list(inputs["sample"].shape), str(error).strip().partition("\n")[0]
            reason = f"it fails for latents of {sample}: {type(error).__name__}: {line}"
            self.failures[shape] = reason
            raise Unsupported(reason) from error
        self.known.add(shape)
        return answer

    def _predict(self, inputs: Inputs) -> torch.Tensor:
        sample = inputs["sample"]
        return self.backend.predict(inputs).to(sample.device, sample.dtype)

    def _prove(self, inputs: Inputs, expected: torch.Tensor) -> None:
        """Raises Unsupported, for good, unless the runner computes this model."""
        if not torch.isfinite(expected).all():
            raise Unsupported("numbers that are not finite")
        try:
            answer = self._predict(inputs)
        except Exception as error:
            if is_lost(error):
                raise
            self.refusal = f"it fails: {type(error).__name__}: {error}"
            raise Unsupported(self.refusal) from error
        difference = relative_error(answer.float().cpu().numpy(), expected.float().cpu().numpy())
        if not difference <= NEAR[self.dtype]:
            self.refusal = f"it computes another model (relative difference {difference:.1e})"
            raise Unsupported(self.refusal)
        self.is_proven = True

    def _note(self, reason: str, calls: int = 1) -> None:
        if reason not in self.usage.eager:
            log.warning(
                "calls of %s are computed by torch, not by %s: %s",
                self.name,
                self.usage.runner,
                reason,
            )
        self.usage.eager[reason] += calls
