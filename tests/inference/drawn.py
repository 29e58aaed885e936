"""Pictures drawn alone, call by call, or together, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from inference.pipelines.calls import Call, Kind, batch_key, run_together
from inference.pipelines.drawing import begin
from inference.pipelines.loading import Model
from inference.pipelines.picture import Picture
from inference.pipelines.request import Request


def finish(picture: Picture) -> Any:
    """Make every call at once; what was drawn."""
    if picture.is_finished:
        return picture.result
    call = picture.advance() if picture.call is None else picture.call
    while call is not None:
        call = picture.advance(call.run())
    return picture.result


def draw(model: Model, request: Request, files: Sequence[bytes] = ()) -> Any:
    """uint8 [height, width, 3]."""
    return finish(begin(model, request, files))


@dataclass
class Drawn:
    """`counts` are the steps done after each call of the denoiser."""

    pixels: Any = None
    decoded: list[torch.Tensor] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @property
    def latents(self) -> torch.Tensor:
        """As the VAE got them."""
        return self.decoded[0]


def watch(picture: Picture) -> Drawn:
    """Draw a picture and keep what happened."""
    seen = Drawn()
    call = picture.advance() if picture.call is None else picture.call
    while call is not None:
        if isinstance(call.owner, tuple) and call.owner[1] == "decode":
            seen.decoded.append(call.args[0])
        is_step = call.kind is Kind.STEP
        call = picture.advance(call.run())
        if is_step:
            seen.counts.append(picture.steps.done)
    seen.pixels = picture.result
    return seen


def step_call(picture: Picture) -> Call | None:
    """The next call of the denoiser; those of other parts are made. None: the picture is done."""
    if picture.is_finished:
        return None
    call = picture.advance() if picture.call is None else picture.call
    while call is not None and call.kind is not Kind.STEP:
        call = picture.advance(call.run())
    return call


def finish_together(pictures: Sequence[Picture], pad_to_rows: int = 0) -> list[int]:
    """Make all calls of the denoiser that can be one as one; how many pictures each was for."""
    shared = []
    while waiting := {one: call for one in pictures if (call := step_call(one)) is not None}:
        key = batch_key(next(iter(waiting.values())))
        group = {one: call for one, call in waiting.items() if batch_key(call) == key}
        answers = run_together(list(group.values()), pad_to_rows=pad_to_rows)
        shared.append(len(group))
        for picture, answer in zip(group, answers, strict=True):
            picture.advance(answer)
    return shared
