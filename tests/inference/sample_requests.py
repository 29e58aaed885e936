"""Requests for tests: a small picture, and whatever a test wants to be different."""

import json
from typing import Any

from inference.pipelines.request import Request

SMALL: dict[str, Any] = {
    "model": "tiny",
    "task": "txt2img",
    "prompt": "a red apple",
    "negative_prompt": "",
    "width": 64,
    "height": 64,
    "steps": 4,
    "guidance": 5.0,
    "scheduler": "euler",
    "seed": 7,
    "progress_every": 0,
}


def request(**changes: Any) -> Request:
    return Request(**{**SMALL, **changes})


def request_text(**changes: Any) -> bytes:
    return json.dumps({**SMALL, **changes}).encode()
