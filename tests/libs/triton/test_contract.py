"""Both sides of the wire state the same contract.

The engine's statement is loaded from its files: the two sides live in different environments.
"""

import importlib.util
import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.triton import contract
from libs.triton.contract import (
    Checkpoint,
    Done,
    Drained,
    GenerationRequest,
    Loaded,
    Paused,
    Progress,
    Resumed,
    Started,
    Stats,
    Unloaded,
    parse_event,
)

ROOT = Path(__file__).parents[3]
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


def load(path: str) -> ModuleType:
    name = "engine_side_" + Path(path).stem
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


request_side = load("inference/pipelines/request.py")
event_side = load("inference/engine/events.py")


def test_the_fields_and_choices_are_the_same() -> None:
    ours = list(GenerationRequest.model_fields)
    assert ours == [field.name for field in fields(request_side.Request)]
    assert get_args(contract.Scheduler) == request_side.SCHEDULERS
    assert get_args(contract.Task) == request_side.TASKS


BOUNDARIES: list[tuple[str, Any]] = [
    ("model", "a" * 100),
    ("model", "a" * 101),
    ("model", "A"),
    ("model", "demo\n"),
    ("model", ".hidden"),
    ("task", "upscale"),
    ("prompt", ""),
    ("prompt", "a" * 10_000),
    ("prompt", "a" * 10_001),
    ("negative_prompt", "a" * 10_001),
    ("width", 7),
    ("width", 8),
    ("width", 4096),
    ("height", 4097),
    ("height", True),
    ("steps", 0),
    ("steps", 150),
    ("steps", 151),
    ("guidance", 0),
    ("guidance", 100.0),
    ("guidance", 100.1),
    ("guidance", -0.1),
    ("guidance", True),
    ("scheduler", "dpm"),
    ("seed", -1),
    ("seed", 2**32 - 1),
    ("seed", 2**32),
    ("progress_every", 150),
    ("progress_every", 151),
    ("strength", 0.5),
]


@pytest.mark.parametrize(("field", "value"), BOUNDARIES)
def test_both_sides_take_and_refuse_the_same_values(field: str, value: Any) -> None:
    document = {**SMALL, field: value}
    try:
        text = GenerationRequest.model_validate(document).model_dump_json()
    except ValidationError:
        with pytest.raises(request_side.InvalidRequest, match=re.escape(field)):
            request_side.parse_request(json.dumps(document))
    else:
        assert getattr(request_side.parse_request(text), field) == value


@given(
    prompt=st.text(max_size=200),
    guidance=st.floats(0, 100),
    seed=st.integers(0, 2**32 - 1),
    scheduler=st.sampled_from(get_args(contract.Scheduler)),
)
def test_what_we_send_arrives_as_it_was(
    prompt: str, guidance: float, seed: int, scheduler: Any
) -> None:
    changes = {"prompt": prompt, "guidance": guidance, "seed": seed, "scheduler": scheduler}
    sent = GenerationRequest.model_validate({**SMALL, **changes})
    received = request_side.parse_request(sent.model_dump_json())
    assert {name: getattr(received, name) for name in SMALL} == {**SMALL, **changes}


def test_the_engines_events_are_ours() -> None:
    picture = np.zeros((2, 2, 3), dtype=np.uint8)
    seconds = {"load": 3.0, "queue": 0.1, "steps": 1.0, "decode": 0.2}
    assert parse_event(json.dumps(event_side.started())) == Started()
    step = parse_event(json.dumps(event_side.progress(3, 20)), preview=picture)
    assert isinstance(step, Progress)
    assert (step.step, step.steps, step.preview is picture) == (3, 20, True)
    assert parse_event(json.dumps(event_side.paused(5))) == Paused(step=5)
    assert parse_event(json.dumps(event_side.resumed(5))) == Resumed(step=5)
    facts = {"prompt_tokens": 93, "prompt_chunks": 2, "made_by": {"build": "1"}}
    last = parse_event(json.dumps(event_side.done(20, seconds, facts)), image=picture)
    assert isinstance(last, Done)
    assert (last.steps, last.seconds.model_dump(), last.pixels is picture) == (20, seconds, True)
    assert last.model_dump(include=set(facts)) == facts


def test_a_checkpoint_is_the_bytes_that_came_beside_it() -> None:
    text, body = json.dumps(event_side.checkpoint(10, 20)), bytes(range(256))
    saved = parse_event(text, checkpoint=np.frombuffer(body, dtype=np.uint8))
    assert isinstance(saved, Checkpoint)
    assert (saved.step, saved.steps, saved.body) == (10, 20, body)


def test_the_answers_to_operations_are_ours() -> None:
    models = {"demo": {"bytes": 7, "pictures": 1}, "gone": {"bytes": 0}}
    pictures = {"running": 1, "waiting": 2, "paused": 3, "finishing": 4}
    memory, requests = {"budget": 9, "used": 7}, ["one", "two"]
    told = event_side.stats(pictures=pictures, memory=memory, models=models, requests=requests)
    stats = Stats.model_validate_json(json.dumps(told))
    assert (stats.running, stats.waiting, stats.paused, stats.loaded) == (
        1,
        2,
        3,
        frozenset({"demo"}),
    )
    assert stats.requests == ("one", "two")
    assert Drained.model_validate(event_side.drained(3)).jobs == 3
    assert Loaded.model_validate(event_side.loaded("demo", 1.5)).seconds == 1.5
    assert Unloaded.model_validate(event_side.unloaded("demo", True)).was_loaded


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValidationError):
        parse_event('{"type": "wondering"}')


def test_an_end_without_a_picture_says_so() -> None:
    text = json.dumps(event_side.done(1, {"queue": 0, "steps": 0, "decode": 0}, {}))
    event = parse_event(text)
    assert isinstance(event, Done)
    with pytest.raises(ValueError, match="without a picture"):
        event.pixels  # noqa: B018 - reading it is the test
