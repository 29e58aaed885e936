"""Pictures drawn alone, call by call, for tests."""

from typing import Any

from inference.pipelines.drawing import begin
from inference.pipelines.loading import Model
from inference.pipelines.picture import Picture
from inference.pipelines.request import Request


def finish(picture: Picture) -> Any:
    """Make every call at once; what was drawn."""
    call = picture.advance() if picture.call is None else picture.call
    while call is not None:
        call = picture.advance(call.run())
    return picture.result


def draw(model: Model, request: Request, files: tuple[bytes, ...] = ()) -> Any:
    """uint8 [height, width, 3]."""
    return finish(begin(model, request, files))
