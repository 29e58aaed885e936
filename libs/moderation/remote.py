"""A check that lives elsewhere: one HTTP endpoint of the operator's for prompts and pictures."""

import asyncio
import base64
import io
from typing import Any

import httpx
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from libs.moderation.findings import Finding, ModerationUnavailable, Pixels


class Verdict(BaseModel):
    """What the endpoint answers; a category is shown to the user."""

    flagged: bool
    category: str = Field(default="moderation", pattern=r"^[a-z0-9/_-]{1,64}$")


class RemoteCheck:
    """Asks the endpoint. `token` goes along as a bearer token; `seconds` is the whole time."""

    def __init__(self, url: str, token: str, *, seconds: float = 5.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(headers=headers, timeout=None)
        self._url, self._seconds = url, seconds

    async def check_prompt(self, prompt: str) -> Finding | None:
        """POST `{"stage": "prompt", "prompt": ...}`. Raises ModerationUnavailable."""
        return await self._ask({"stage": "prompt", "prompt": prompt})

    async def check_picture(self, pixels: Pixels) -> Finding | None:
        """POST `{"stage": "picture", "media_type": "image/png", "picture": base64}`."""
        picture = await asyncio.to_thread(encode_picture, pixels)
        return await self._ask({"stage": "picture", "media_type": "image/png", "picture": picture})

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _ask(self, question: dict[str, Any]) -> Finding | None:
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._client.post(self._url, json=question)
            answer.raise_for_status()
            verdict = Verdict.model_validate_json(answer.content)
        except (httpx.HTTPError, TimeoutError, ValidationError) as error:
            raise ModerationUnavailable(repr(error)) from error
        return Finding(verdict.category) if verdict.flagged else None


def encode_picture(pixels: Pixels) -> str:
    """A PNG as base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
