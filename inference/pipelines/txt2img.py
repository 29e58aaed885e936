"""Text to image."""

from collections.abc import Sequence

from inference.pipelines import flux
from inference.pipelines.loading import Model
from inference.pipelines.request import Request
from inference.pipelines.task import Plan, Task, all_steps


def plan(model: Model, request: Request, files: Sequence[bytes]) -> Plan:
    """A size is all that it needs beside the words."""
    return Plan({"width": request.width, "height": request.height})


TASK = Task(
    classes={
        "sd15": "StableDiffusionPipeline",
        "sdxl": "StableDiffusionXLPipeline",
        flux.FAMILY: "FluxPipeline",
    },
    reads=frozenset(),
    plan=plan,
    steps=all_steps,
)
