"""Ways to draw many pictures: one after another, and by the engine; each says how fast it was."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.gpu_models import Shape, fresh
from inference.engine.engine import Arrival, Engine
from inference.engine.events import Event, Failure, Picture
from inference.engine.settings import read_settings
from inference.pipelines.drawing import begin
from inference.pipelines.loading import Model
from inference.pipelines.request import Request, parse_request
from inference.runners.choice import GUIDED_ROWS, Choice
from inference.runners.runner import install

WAIT_SECONDS = 1800
PIPELINES = {"sd15": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}


@dataclass(frozen=True)
class Speed:
    """`images` pictures took `seconds`; `peak_bytes` of the accelerator's memory (0: none)."""

    images: int
    seconds: float
    peak_bytes: int

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds


def request_text(name: str, shape: Shape, steps: int, seed: int) -> str:
    return json.dumps(
        {
            "model": name,
            "task": "txt2img",
            "prompt": "a red apple on a table",
            "negative_prompt": "",
            "width": shape.side,
            "height": shape.side,
            "steps": steps,
            "guidance": 5.0,
            "scheduler": "euler",
            "seed": seed,
            "progress_every": 0,
        }
    )


def one_after_another(model: Model, texts: list[str], runner: str) -> Speed:
    """Diffusers' own pipeline, a picture at a time; the first is not counted."""
    model, name = fresh(model), str(model.identity)
    usage = install(model, name, Choice(runner, Path(), threads=1, rows=(GUIDED_ROWS,)))
    requests = [parse_request(text) for text in texts]
    draw(model, requests[0])
    reset_peak(model.device)
    began = time.perf_counter()
    for request in requests:
        draw(model, request)
    speed = Speed(len(requests), time.perf_counter() - began, peak(model.device))
    require_runner(usage.as_dict())
    return speed


def draw(model: Model, request: Request) -> Any:
    """Make every call of a picture where it stands."""
    picture = begin(model, request)
    call = picture.advance()
    while call is not None:
        call = picture.advance(call.run())
    return picture.result


def by_engine(model: Model, texts: list[str], runner: str, concurrency: int, place: Path) -> Speed:
    """All requests at once to an engine with `concurrency` slots, whose steps are batches of one
    shape; the first round is not counted."""
    name = str(model.identity)
    folder = place / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": PIPELINES[model.family]}))
    parameters = {
        "models_dir": str(place),
        "preload": name,
        "runner": runner,
        "max_running": str(concurrency),
        "max_waiting": str(len(texts)),
        "batch_rows": str(GUIDED_ROWS * concurrency),
    }
    settings = read_settings(place, parameters, environment={})
    # Without an accelerator all requests fail, and the figure says so: the others are not lost.
    engine = Engine(settings, model.device, load=lambda *_: fresh(model), lost=lambda: None)
    engine.start()
    try:
        answer_all(engine, texts[:concurrency])
        reset_peak(model.device)
        began = time.perf_counter()
        answer_all(engine, texts)
        speed = Speed(len(texts), time.perf_counter() - began, peak(model.device))
        (stats,) = answer_all(engine, ['{"op": "stats"}'])
        require_runner(stats["models"][name])
        return speed
    finally:
        engine.stop()


def require_runner(figures: Mapping[str, Any]) -> None:
    """Raises RuntimeError where torch computed what the runner should have."""
    if figures["eager_calls"]:
        raise RuntimeError(f"not computed by {figures['runner']}: {figures['eager_calls']}")


@dataclass
class Answer:
    """The engine's answer to one request, waited for by another thread."""

    event: Event = field(default_factory=dict)
    failure: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    def is_cancelled(self) -> bool:
        return False

    def send(self, event: Event, preview: Picture | None = None, checkpoint: bytes = b"") -> None:
        """News on the way are not counted."""

    def finish(self, event: Event, image: Picture | None = None) -> None:
        self.event = event
        self.ended.set()

    def fail(self, failure: Failure, message: str) -> None:
        self.failure = f"{failure}: {message}"
        self.ended.set()


def answer_all(engine: Engine, texts: list[str]) -> list[Event]:
    """The last events. Raises RuntimeError for a request that fails or is not answered."""
    answers = [Answer() for _ in texts]
    for number, (text, answer) in enumerate(zip(texts, answers, strict=True)):
        arrival = Arrival(text.encode(), (), str(number), answer)
        engine.submit(lambda arrival=arrival: arrival)  # type: ignore[misc]
    for answer in answers:
        if not answer.ended.wait(WAIT_SECONDS):
            raise RuntimeError(f"the engine did not answer in {WAIT_SECONDS} s")
        if answer.failure:
            raise RuntimeError(answer.failure)
    return [answer.event for answer in answers]


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
