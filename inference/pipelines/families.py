"""What differs between the families of models, beside the diffusers pipelines of each task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from inference.pipelines import flux
from inference.pipelines.loading import Model
from inference.pipelines.prompts import encode_words
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.schedulers import make_scheduler
from inference.pipelines.steps import as_they_are

SIDE_MULTIPLE_PIXELS = 8


@dataclass(frozen=True)
class Family:
    """`check` and `make_scheduler` raise InvalidRequest for what the family cannot do.
    `steps_from_image` are those that a strength leaves, `encode_words` what a pipeline's call gets
    for the words, `unpack` makes [1, channels, h, w] of the pipeline's latents."""

    side_multiple: int
    check: Callable[[Request], None]
    make_scheduler: Callable[[Model, Request], Any]
    steps_from_image: Callable[[Request], int]
    encode_words: Callable[[Model, Request, dict[str, Any]], dict[str, Any]]
    unpack: Callable[[torch.Tensor, Request, int], torch.Tensor]


def family_of(model: Model) -> Family:
    """The family of a model."""
    return FLUX if model.family == flux.FAMILY else UNETS


def _takes_all(request: Request) -> None:
    """UNets have a place for every field."""


def _steps_of_unets(request: Request) -> int:
    """int(steps * strength): `get_timesteps` of diffusers' pipelines."""
    return min(int(request.steps * request.strength), request.steps)


def _scheduler_of_unets(model: Model, request: Request) -> Any:
    scheduler = make_scheduler(request.scheduler, model.scheduler_config)
    try:
        scheduler.set_timesteps(request.steps)
    except ValueError as error:  # more steps than the noise schedule has
        raise InvalidRequest(f"steps: {error}") from error
    return scheduler


def _scheduler_of_flux(model: Model, request: Request) -> Any:
    return flux.make_flow_scheduler(request, model.scheduler_config)


UNETS = Family(
    side_multiple=SIDE_MULTIPLE_PIXELS,
    check=_takes_all,
    make_scheduler=_scheduler_of_unets,
    steps_from_image=_steps_of_unets,
    encode_words=encode_words,
    unpack=lambda latents, request, vae_scale: as_they_are(latents),
)
FLUX = Family(
    side_multiple=flux.SIDE_MULTIPLE_PIXELS,
    check=flux.check,
    make_scheduler=_scheduler_of_flux,
    steps_from_image=flux.steps_from_image,
    encode_words=flux.encode_words,
    unpack=flux.unpack,
)
