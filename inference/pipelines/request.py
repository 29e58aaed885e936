"""What one generation asks for: the JSON object of the REQUEST tensor, checked field by field.

`libs/triton/contract.py` states the same contract for the services; a test compares the two, so
this module needs the standard library alone.
"""

import json
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any

TASKS = ("txt2img", "img2img", "inpaint", "outpaint", "upscale")
SCHEDULERS = (
    "euler",
    "euler_a",
    "ddim",
    "dpmpp_2m",
    "dpmpp_2m_karras",
    "unipc",
    "pndm",
    "heun",
    "lms",
)
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
MAX_PROMPT_CHARACTERS = 10_000
MAX_STEPS = 150
MAX_GUIDANCE = 100.0
MAX_SIDE_PIXELS = 4096
MAX_SEED = 2**32 - 1
MAX_FILES = 32
MAX_ADAPTERS = 8
MAX_WEIGHT = 4.0
MAX_CLIP_SKIP = 4
LAST_PRIORITY = 9

Check = Callable[[str, Any], Any]


class InvalidRequest(Exception):
    """The request cannot be served as it stands; the text tells its author why."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA by name; a negative weight turns its effect round."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class Control:
    """A ControlNet with its picture (an index into FILES), from `begin` to `end` of the steps."""

    name: str
    image: int
    weight: float
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """An IP-Adapter with its picture (an index into FILES)."""

    name: str
    image: int
    weight: float


@dataclass(frozen=True, slots=True)
class Request:
    """One picture. Sides are pixels; `progress_every` counts steps between previews (0: none).

    `image`, `mask` and `resume` (a checkpoint) are indexes into FILES. White of the mask is drawn
    anew. `expand` are the pixels that outpainting adds left, above, right and below. `strength` is
    the share of the steps that are taken from an image. Priority 0 goes first. Every
    `checkpoint_every` steps the state comes back (0: never).
    """

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
    priority: int = 0
    strength: float = 0.7
    image: int | None = None
    mask: int | None = None
    expand: tuple[int, ...] = (0, 0, 0, 0)
    clip_skip: int = 0
    tiling: bool = False
    loras: tuple[Lora, ...] = ()
    controls: tuple[Control, ...] = ()
    image_prompts: tuple[ImagePrompt, ...] = ()
    checkpoint_every: int = 0
    resume: int | None = None


def parse_request(text: str | bytes) -> Request:
    """The request in a JSON text. Raises InvalidRequest that names the first wrong field."""
    return make_request(parse_object(text))


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The object in a JSON text. Raises InvalidRequest."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the request is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the request is not a JSON object")
    return document


def make_request(document: dict[str, Any]) -> Request:
    """The request that an object states. Raises InvalidRequest that names the first wrong field."""
    return Request(**_checked("", document, fields(Request), CHECKS))


def _checked(
    where: str, document: Any, known: tuple[Any, ...], checks: dict[str, Check]
) -> dict[str, Any]:
    """The values of an object, field by field; those with a default may be missing."""
    if not isinstance(document, dict):
        raise InvalidRequest(f"{where.rstrip('.')} must be an object")
    names = {field.name: field.default is MISSING for field in known}
    for name in document:
        if name not in names:
            raise InvalidRequest(f"unknown field {where + name!r}")
    for name, is_required in names.items():
        if is_required and name not in document:
            raise InvalidRequest(f"{where}{name} is missing")
    return {n: checks[n](where + n, document[n]) for n in names if n in document}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_PROMPT_CHARACTERS:
        raise InvalidRequest(f"{name} must be a text of at most {MAX_PROMPT_CHARACTERS} characters")
    return value


def check_model_name(name: str, value: Any) -> str:
    """The name of a model or an adapter: never a path. Raises InvalidRequest."""
    if not isinstance(value, str) or not MODEL_NAME.fullmatch(value):
        raise InvalidRequest(f"{name} must be a name of a-z, 0-9, '.', '_' and '-'")
    return value


def _choice(choices: tuple[str, ...]) -> Check:
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


def _number(low: float, high: float) -> Check:
    def check(name: str, value: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise InvalidRequest(f"{name} must be a number from {low:g} to {high:g}")
        return float(value)

    return check


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false")
    return value


def _file(name: str, value: Any) -> int | None:
    return None if value is None else FILE_NUMBER(name, value)


def _margins(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) != 4:
        raise InvalidRequest(f"{name} must be four numbers: left, top, right, bottom")
    return tuple(_integer(0, MAX_SIDE_PIXELS)(f"{name}.{n}", side) for n, side in enumerate(value))


def _several(kind: type[Any], checks: dict[str, Check]) -> Check:
    """A list of objects of one kind."""

    def check(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > MAX_ADAPTERS:
            raise InvalidRequest(f"{name} must be a list of at most {MAX_ADAPTERS}")
        return tuple(
            kind(**_checked(f"{name}.{number}.", one, fields(kind), checks))
            for number, one in enumerate(value)
        )

    return check


FILE_NUMBER = _integer(0, MAX_FILES - 1)
SHARE = _number(0, 1)
WEIGHT = _number(-MAX_WEIGHT, MAX_WEIGHT)
ADAPTER_CHECKS: dict[str, Check] = {
    "name": check_model_name,
    "weight": WEIGHT,
    "image": FILE_NUMBER,
    "begin": SHARE,
    "end": SHARE,
}
CHECKS: dict[str, Check] = {
    "model": check_model_name,
    "task": _choice(TASKS),
    "prompt": _text,
    "negative_prompt": _text,
    "width": _integer(8, MAX_SIDE_PIXELS),
    "height": _integer(8, MAX_SIDE_PIXELS),
    "steps": _integer(1, MAX_STEPS),
    "guidance": _number(0, MAX_GUIDANCE),
    "scheduler": _choice(SCHEDULERS),
    "seed": _integer(0, MAX_SEED),
    "progress_every": _integer(0, MAX_STEPS),
    "priority": _integer(0, LAST_PRIORITY),
    "strength": _number(0.01, 1),
    "image": _file,
    "mask": _file,
    "expand": _margins,
    "clip_skip": _integer(0, MAX_CLIP_SKIP),
    "tiling": _flag,
    "loras": _several(Lora, ADAPTER_CHECKS),
    "controls": _several(Control, ADAPTER_CHECKS),
    "image_prompts": _several(ImagePrompt, ADAPTER_CHECKS),
    "checkpoint_every": _integer(0, MAX_STEPS),
    "resume": _file,
}
