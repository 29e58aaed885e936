"""What an attempt has done so far: finished images, steps, and the moments of it."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from libs.kernel.clock import utc_now
from libs.triton.contract import Done, Paused, Resumed
from services.gallery.client.images import ImageRecord
from services.generation.models import Job, Mark
from services.generation.resolution import steps_run
from services.generation.schemas import ResolvedRequest

NOTHING_TOLD = (0, 0)


@dataclass
class Drawing:
    """What an attempt has done so far: finished images, and steps of the one in the making.

    Both count what earlier attempts had kept. `refused` were drawn and may not be delivered; they
    are free. `files` are the pictures that the images begin with. `told` is the furthest progress
    that the owner has seen: an image and a step. `has_looked`: it knows what was kept. `delivery`
    judges and stores a finished image; `is_delivering` from its beginning to its good end.
    """

    job: Job
    request: ResolvedRequest
    images: list[ImageRecord] = field(default_factory=list)
    refused: int = 0
    files: tuple[bytes, ...] = ()
    steps_of_current: int = 0
    marks: list[Mark] = field(default_factory=list)
    told: tuple[int, int] = NOTHING_TOLD
    has_looked: bool = False
    delivery: asyncio.Task[None] | None = None
    is_delivering: bool = False

    def mark(self, name: str, at: datetime | None = None, **details: Any) -> Mark:
        """Note a moment of the attempt; it is written down when the attempt ends."""
        mark = {"name": name, "at": (at or utc_now()).isoformat(), **details}
        self.marks.append(mark)
        return mark

    def executed_steps(self) -> int:
        """Denoising steps whose result is kept, by whichever attempt they were run. An image that
        was finished and could not be delivered is free."""
        of_image = steps_run(self.request, self.job.base)
        of_current = 0 if self.is_delivering else self.steps_of_current
        return len(self.images) * of_image + of_current

    @property
    def index(self) -> int:
        """The image in the making, from 0."""
        return len(self.images) + self.refused

    @property
    def has_begun(self) -> bool:
        """Whether there is anything of it: an image, or a step."""
        return self.index > 0 or self.steps_of_current > 0

    @property
    def is_whole(self) -> bool:
        """Whether every image is drawn."""
        return self.index >= self.request.num_images


class StepMarks:
    """The moments of one image in the engine: its steps, in stretches between pauses.

    `steps` of a stretch are those that were run in it.
    """

    def __init__(self, drawing: Drawing, index: int) -> None:
        self._drawing = drawing
        self._index = index
        self._first: Mark | None = None
        self._current: Mark = {}
        self._before = 0

    def begin(self, step: int) -> None:
        """The engine goes on after so many steps."""
        self._before = step
        self._current = self._drawing.mark("steps", image=self._index, steps=0, after=step)
        self._first = self._first or self._current

    def reach(self, step: int) -> None:
        """So many steps of the image are done."""
        self._drawing.steps_of_current = step
        self._current["steps"] = step - self._before

    def turn(self, event: Paused | Resumed) -> None:
        """It was put aside for something urgent, or goes on."""
        if isinstance(event, Resumed):
            self.begin(event.step)
        else:
            self._drawing.mark("paused", image=self._index)

    def end(self, done: Done) -> None:
        """Note what the engine tells only at the end: loading before the steps, decoding after."""
        seconds, now = done.seconds, utc_now()
        self.reach(done.steps)
        if seconds.load > 0 and self._first is not None:
            began = datetime.fromisoformat(self._first["at"]) - timedelta(seconds=seconds.queue)
            place = self._drawing.marks.index(self._first)
            at = began - timedelta(seconds=seconds.load)
            load = {"name": "model_load", "image": self._index, "at": at.isoformat()}
            slot = {"name": "claimed", "image": self._index, "at": began.isoformat()}
            self._drawing.marks[place:place] = [load, slot]
        decoding = timedelta(seconds=seconds.decode)
        self._drawing.mark("decode", now - decoding, image=self._index)
        self._drawing.mark("upload", now, image=self._index)
