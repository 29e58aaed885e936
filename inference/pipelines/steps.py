"""The steps of one picture, seen at its scheduler: counted, kept for previews, saved and resumed.

Every diffusers pipeline ends a denoising step with `scheduler.step(prediction, timestep, sample)`,
and what it does with the answer depends on the answer alone. So the state of a picture between two
steps is that answer, the scheduler's own history and the random generator's state.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import torch

HOOKED = ("step", "scale_model_input")
NOT_HISTORY = frozenset({*HOOKED, "_internal_dict"})  # the last is the configuration
CONSTANTS = (torch.Tensor, np.ndarray)


class NotFinite(Exception):
    """The numbers of a picture left the range of their format."""


@dataclass(frozen=True)
class Moment:
    """A picture between two calls of its scheduler: enough to go on as if nothing had happened.

    `sample` is what the last scheduler step returned; `history` are the scheduler's attributes.
    """

    calls: int
    sample: torch.Tensor
    history: dict[str, Any]
    generator: torch.Tensor


def as_they_are(latents: torch.Tensor) -> torch.Tensor:
    """Latents [1, channels, h, w]."""
    return latents


class Steps:
    """Hooks the scheduler of one picture; `resume` skips to a moment saved before.

    `calls` counts scheduler steps; some samplers need more than one for a step of the user's.
    `sample` is what the last of them returned, `done_before` are the steps of the user's that were
    skipped.
    `steps` are those of the noise schedule, `total` those that are really taken: a picture that
    starts from an image skips the first ones. `unpack` makes [1, channels, h, w] of latents as the
    pipeline has them.
    """

    def __init__(
        self,
        scheduler: Any,
        generator: torch.Generator,
        *,
        steps: int,
        total: int,
        resume: Moment | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.generator = generator
        self.steps = steps
        self.total = total
        self.calls = 0
        self.done_before = 0
        self.last_input: torch.Tensor | None = None
        self.last_prediction: torch.Tensor | None = None
        self.last_timestep: Any = None
        self.sample: torch.Tensor | None = None
        self.unpack: Callable[[torch.Tensor], torch.Tensor] = as_they_are
        self._scaled: torch.Tensor | None = None
        self._resume = resume
        self._constants = dict(vars(scheduler))
        scheduler.step = self._hook_step(scheduler.step)
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input = self._hook_input(scheduler.scale_model_input)

    @property
    def done(self) -> int:
        """Steps done as the user counts them. PNDM's warm-up adds a call, Heun takes two a step;
        the rule is that of the progress bar of diffusers' pipelines."""
        order = int(self.scheduler.order)
        calls = len(self.scheduler.timesteps) - (self.steps - self.total) * order
        if self.calls >= calls:
            return self.total
        return max(0, self.calls - max(0, calls - self.total * order)) // order

    @property
    def is_skipping(self) -> bool:
        """Whether calls of the denoiser are for steps that were done before."""
        return self._resume is not None and self.calls < self._resume.calls

    def moment(self) -> Moment | None:
        """The state now, detached from what comes; None before the first step has been done."""
        if self.sample is None or self.is_skipping:
            return None
        return Moment(
            calls=self.calls,
            sample=self.sample,
            history={
                name: copy.copy(value)
                for name, value in vars(self.scheduler).items()
                if name not in NOT_HISTORY and not self._is_constant(name, value)
            },
            generator=self.generator.get_state(),
        )

    def _is_constant(self, name: str, value: Any) -> bool:
        """Whether every scheduler of this configuration has it: tensors are never changed in
        place, so one that is still the same object is still what it was."""
        return isinstance(value, CONSTANTS) and value is self._constants.get(name)

    def _hook_step(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(real)  # pipelines look at the signature
        def step(model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
            if self.is_skipping:
                return (self._skip(sample),)
            self.last_input = sample if self._scaled is None else self._scaled
            answer = real(model_output, timestep, sample, *args, **kwargs)
            self.calls += 1
            self.last_prediction, self.last_timestep = model_output, timestep
            self.sample = answer[0]
            return answer

        return step

    def _skip(self, sample: torch.Tensor) -> torch.Tensor:
        """Pass a step that was done before; at the last one the saved state comes back."""
        saved = self._resume
        assert saved is not None
        self.calls += 1
        if self.calls < saved.calls:
            return sample
        for name, value in saved.history.items():
            setattr(self.scheduler, name, copy.copy(value))
        self.generator.set_state(saved.generator)
        self.sample = saved.sample
        self.done_before = self.done
        return saved.sample

    def _hook_input(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(real)
        def scale_model_input(sample: Any, *args: Any, **kwargs: Any) -> Any:
            if self.is_skipping:
                return sample
            self._scaled = real(sample, *args, **kwargs)
            return self._scaled

        return scale_model_input
