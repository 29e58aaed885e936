"""The engine on the demo model: what it costs, and how soon it does what it is told."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline

from bench.serving_calls import (
    ROOT,
    THREADS,
    Caller,
    Watch,
    load_watched,
    request_fields,
    serving,
    submit,
)
from inference.engine.engine import Engine
from inference.engine.settings import SHIPPED_FOLDER
from inference.pipelines.schedulers import make_scheduler

PAIRS = 15
STEPS = 20
LONG_STEPS = 60
TRIES = 5
DRAINED_JOBS = 8
PAUSE_SECONDS = 0.01


def measure_demo(folder: Path) -> dict[str, float]:
    """The figures of the demo model."""
    torch.set_num_threads(THREADS)
    with serving(folder) as engine:
        figures = {"engine_overhead": engine_overhead(engine)}
    watch = Watch()
    with serving(folder, load_watched(watch), max_running=1) as engine:
        figures["cancel_steps"] = max(cancel_steps(engine, watch) for _ in range(TRIES))
    with serving(folder, load_watched(watch), max_running=4) as engine:
        figures["join_steps"] = max(join_steps(engine, watch) for _ in range(TRIES))
    with serving(folder, max_running=DRAINED_JOBS) as engine:
        figures["drain_ms"] = round(max(drain_ms(engine) for _ in range(TRIES)), 1)
    return figures


def engine_overhead(engine: Engine) -> float:
    """The median ratio of pairs: a picture through the engine, and through diffusers alone."""
    plain = plain_pipeline()
    ratios = []
    for seed in range(PAIRS + 1):
        seconds = {}
        for is_plain in (True, False) if seed % 2 else (False, True):
            begun = time.perf_counter()
            if is_plain:
                plain(seed)
            else:
                submit(engine, request_fields(STEPS, seed)).wait()
            seconds[is_plain] = time.perf_counter() - begun
        if seed:  # the first pair warms every cache
            ratios.append(seconds[False] / seconds[True])
    return round(statistics.median(ratios), 3)


def plain_pipeline() -> Callable[[int], Any]:
    """Diffusers' own pipeline, drawing the same request."""
    loaded: Any = StableDiffusionPipeline.from_pretrained(
        str(ROOT / SHIPPED_FOLDER), dtype=torch.float32
    )
    loaded.set_progress_bar_config(disable=True)
    fields = request_fields(STEPS, 0)

    def draw(seed: int) -> Any:
        loaded.scheduler = make_scheduler(fields["scheduler"], loaded.scheduler.config)
        return loaded(
            prompt=fields["prompt"],
            negative_prompt=fields["negative_prompt"],
            width=fields["width"],
            height=fields["height"],
            num_inference_steps=STEPS,
            guidance_scale=fields["guidance"],
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        )

    return draw


def cancel_steps(engine: Engine, watch: Watch) -> int:
    """Steps that a picture begins after it was cancelled; the next one waits for its slot."""
    running = submit(engine, request_fields(LONG_STEPS, 1))
    waiting = submit(engine, request_fields(1, 2))
    await_steps(running, 3)
    running.cancelled.set()
    since = time.perf_counter()
    running.wait()
    waiting.wait()
    return watch.until_joined(since)


def join_steps(engine: Engine, watch: Watch) -> int:
    """Steps that others begin while a new picture is not among them."""
    others = [submit(engine, request_fields(LONG_STEPS, seed)) for seed in range(2)]
    for other in others:
        await_steps(other, 3)
    new = submit(engine, request_fields(1, 9))
    new.wait()
    steps = watch.until_joined(new.submitted)
    cancel(others)
    return steps


def drain_ms(engine: Engine) -> float:
    """From the order to the answer, when 8 pictures are under way."""
    jobs = [submit(engine, request_fields(LONG_STEPS, seed)) for seed in range(DRAINED_JOBS)]
    for job in jobs:
        await_steps(job, 1)
    seconds = submit(engine, {"op": "drain", "requests": None}).wait().seconds
    for job in jobs:
        job.wait()
    return seconds * 1000


def await_steps(caller: Caller, steps: int) -> None:
    """Wait until a picture has done so many steps."""
    while caller.steps < steps and not caller.over.is_set():
        time.sleep(PAUSE_SECONDS)


def cancel(callers: list[Caller]) -> None:
    """Give pictures up."""
    for caller in callers:
        caller.cancelled.set()
        caller.wait()
