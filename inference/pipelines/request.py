"""What one generation asks for: the JSON object of the REQUEST tensor, checked field by field.

`libs/triton/contract.py` states the same contract for the services; a test compares the two, so
this module needs the standard library alone.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

TASKS = ("txt2img",)
SCHEDULERS = ("euler", "euler_a", "ddim", "dpmpp_2m", "unipc", "pndm", "heun", "lms")
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
MAX_PROMPT_CHARACTERS = 10_000
MAX_STEPS = 150
MAX_GUIDANCE = 100.0
MAX_SIDE_PIXELS = 4096
MAX_SEED = 2**32 - 1


class InvalidRequest(Exception):
    """The request cannot be served as it stands; the text tells its author why."""


@dataclass(frozen=True, slots=True)
class Request:
    """One picture. Sides are pixels; `progress_every` counts steps between previews (0: none)."""

    model: str
    task: str
    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance: float
    scheduler: str
    seed: int
    progress_every: int


def parse_request(text: str | bytes) -> Request:
    """The request in a JSON text. Raises InvalidRequest that names the first wrong field."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the request is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the request is not a JSON object")
    names = [field.name for field in fields(Request)]
    for name in document:
        if name not in names:
            raise InvalidRequest(f"unknown field {name!r}")
    for name in names:
        if name not in document:
            raise InvalidRequest(f"{name} is missing")
    return Request(**{name: CHECKS[name](name, document[name]) for name in names})


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_PROMPT_CHARACTERS:
        raise InvalidRequest(f"{name} must be a text of at most {MAX_PROMPT_CHARACTERS} characters")
    return value


def _model(name: str, value: Any) -> str:
    if not isinstance(value, str) or not MODEL_NAME.fullmatch(value):
        raise InvalidRequest(f"{name} must be a name of a-z, 0-9, '.', '_' and '-'")
    return value


def _choice(choices: tuple[str, ...]) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if value not in choices:
            raise InvalidRequest(f"{name} must be one of {', '.join(choices)}")
        return str(value)

    return check


def _integer(low: int, high: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InvalidRequest(f"{name} must be a whole number from {low} to {high}")
        return value

    return check


def _guidance(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MAX_GUIDANCE:
        raise InvalidRequest(f"{name} must be a number from 0 to {MAX_GUIDANCE:g}")
    return float(value)


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "model": _model,
    "task": _choice(TASKS),
    "prompt": _text,
    "negative_prompt": _text,
    "width": _integer(8, MAX_SIDE_PIXELS),
    "height": _integer(8, MAX_SIDE_PIXELS),
    "steps": _integer(1, MAX_STEPS),
    "guidance": _guidance,
    "scheduler": _choice(SCHEDULERS),
    "seed": _integer(0, MAX_SEED),
    "progress_every": _integer(0, MAX_STEPS),
}
