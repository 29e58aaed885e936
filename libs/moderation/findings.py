"""What a check found, and what is done about it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter

from libs.telemetry.logs import get_logger

log = get_logger(__name__)
Mode = Literal["off", "log", "block"]
Pixels = NDArray[np.uint8]
findings = Counter(
    "easel_moderation_findings_total",
    "Prompts and pictures that a check objected to",
    ("stage", "category", "mode"),
)
unavailable = Counter(
    "easel_moderation_unavailable_total", "Checks that gave no answer", ("stage",)
)


@dataclass(frozen=True)
class Finding:
    """An objection. `category` may be shown to the user; what exactly was matched is not kept."""

    category: str


class ModerationUnavailable(Exception):
    """A check gave no answer, and nothing may pass without one. It may be asked again."""


PromptCheck = Callable[[str], Awaitable[Finding | None]]
PictureCheck = Callable[[Pixels], Awaitable[Finding | None]]


@dataclass(frozen=True)
class Moderation:
    """The checks of one service, asked in order; the first finding counts.

    `off` asks none, `log` writes findings down and lets everything pass, `block` stops it. With
    `allow_unchecked` a check that gives no answer objects to nothing.
    """

    mode: Mode
    prompts: Sequence[PromptCheck] = ()
    pictures: Sequence[PictureCheck] = ()
    allow_unchecked: bool = False

    @property
    def may_block_pictures(self) -> bool:
        """Whether a picture may turn out to be one that nobody may see."""
        return self.mode == "block" and bool(self.pictures)

    async def judge_prompt(self, prompt: str) -> Finding | None:
        """Why a prompt is blocked; None if it may pass. Raises ModerationUnavailable."""
        return await self._judge("prompt", self.prompts, prompt)

    async def judge_picture(self, pixels: Pixels) -> Finding | None:
        """Why a picture, uint8 [height, width, 3], is blocked; as for prompts."""
        return await self._judge("picture", self.pictures, pixels)

    async def _judge(
        self, stage: str, checks: Sequence[Callable[[Any], Awaitable[Finding | None]]], subject: Any
    ) -> Finding | None:
        if self.mode == "off":
            return None
        for check in checks:
            try:
                finding = await check(subject)
            except ModerationUnavailable as error:
                unavailable.labels(stage).inc()
                log.warning("moderation_unavailable", stage=stage, error=repr(error))
                if self.mode == "block" and not self.allow_unchecked:
                    raise
                continue
            if finding is not None:
                findings.labels(stage, finding.category, self.mode).inc()
                log.warning("moderation_finding", stage=stage, category=finding.category)
                return finding if self.mode == "block" else None
        return None
