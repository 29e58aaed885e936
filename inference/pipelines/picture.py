"""One picture under way: a diffusers pipeline that is suspended at each call of a model's part.

Diffusers' own `__call__` runs unchanged in a greenlet. `suspend` makes a part (UNet, ControlNet,
text encoder, VAE ...) hand its calls to whoever drives the picture instead of making them; a call
by anybody else goes straight through. So pictures of any pipeline can share batches, wait for one
another and be cancelled, and each still computes what diffusers computes.
"""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from greenlet import GreenletExit, getcurrent, greenlet

from inference.pipelines.calls import Call, Kind
from inference.pipelines.steps import Steps

P = ParamSpec("P")
T = TypeVar("T")


class _Body(greenlet):
    """The greenlet of a picture; `steps` says whether its calls matter."""

    steps: Steps


class Picture:
    """A drawing under way. All methods belong to the thread that made it.

    `drawing` makes the picture with its scheduler hooked by `steps`; it runs as far as the first
    call of a suspended part when `advance` is called first. `notes` are what there is to tell about
    it when it is done: `prompt_tokens`, `prompt_chunks`.
    """

    def __init__(
        self, drawing: Callable[[], Any], steps: Steps, notes: dict[str, Any] | None = None
    ) -> None:
        self.steps = steps
        self.notes = {} if notes is None else notes
        self.call: Call | None = None
        self.result: Any = None
        self._body = _Body(drawing)
        self._body.steps = steps

    @property
    def is_finished(self) -> bool:
        return bool(self._body.dead)

    def advance(self, answer: Any = None) -> Call | None:
        """Go on with the answer to the last call; the next call, or None when `result` is there.

        Raises what the drawing raises; the picture is over then.
        """
        arguments = () if self.call is None else (answer,)
        self._body.parent = getcurrent()
        # Grad mode belongs to the thread, and the bodies' own no_grad blocks end in any order.
        with torch.no_grad():
            given = self._body.switch(*arguments)
        if self._body.dead:
            self.call, self.result = None, given
        else:
            self.call = given
        return self.call

    def close(self) -> None:
        """Give it up, wherever it is."""
        self.call = None
        self._body.throw(GreenletExit)


def suspend(
    part: Any,
    method: str,
    kind: Kind,
    owner: Hashable,
    *,
    skipped: Callable[..., Any] | None = None,
) -> None:
    """Make `part.method` suspend the picture that calls it.

    A picture that is skipping steps (`Steps.is_skipping`) gets `skipped(*args, **kwargs)` at once.
    """
    real = getattr(part, method)

    @wraps(real)
    def ask(*args: Any, **kwargs: Any) -> Any:
        body = getcurrent()
        if not isinstance(body, _Body):
            return real(*args, **kwargs)
        if skipped is not None and body.steps.is_skipping:
            return skipped(*args, **kwargs)
        return _wait_for(body, Call(kind, owner, real, args, kwargs))

    setattr(part, method, ask)


def aside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` answers; a picture that calls it waits for it as a `SIDE` call.

    For work on pixels that would hold up the step loop. It must not touch a model's parts.
    """
    body = getcurrent()
    if not isinstance(body, _Body):
        return function(*args, **kwargs)
    answer: T = _wait_for(body, Call(Kind.SIDE, "aside", function, args, kwargs))
    return answer


def _wait_for(body: _Body, call: Call) -> Any:
    assert body.parent is not None
    return body.parent.switch(call)
