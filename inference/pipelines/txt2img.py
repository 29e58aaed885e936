"""Text to image."""

from collections.abc import Sequence
from typing import Any

from inference.pipelines.loading import Model
from inference.pipelines.request import Request


def arguments(model: Model, request: Request, files: Sequence[bytes]) -> dict[str, Any]:
    """A size is all that it needs beside the words."""
    return {"width": request.width, "height": request.height}
