"""The engine beside sequential service and request-level batches, under a declared cost of a step.

All three draw the same requests by the same code of `inference/pipelines`; the VAE and words that
were read before cost nothing here, so that steps are what counts.
"""

import math
import random
import time
from collections import deque
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import torch

from bench.serving_calls import (
    CPU,
    ROOT,
    THREADS,
    Caller,
    Watch,
    make_request,
    replace_denoiser,
    request_fields,
    serving,
    submit,
)
from bench.serving_demo import await_steps, cancel
from inference.engine.scheduling import padded_rows, read_buckets
from inference.engine.settings import SHIPPED_FOLDER
from inference.pipelines.calls import Kind, run_together
from inference.pipelines.drawing import begin
from inference.pipelines.loading import Model, load_model
from inference.pipelines.picture import Picture, suspend
from inference.pipelines.request import Request

CALL_SECONDS, ROW_SECONDS = 0.030, 0.002
MIXED_STEPS = (4, 8, 20, 30)
SHORT_STEPS = 4
JOBS = 64
CONCURRENCY = 8
BATCH_ROWS = "2,4,8,16"
BUCKETS = read_buckets(BATCH_ROWS)
TRIES = 5
LAST_CLASS = 9


def measure_cost(folder: Path) -> dict[str, float]:
    """The figures under the declared cost, all from one run over the same jobs."""
    torch.set_num_threads(THREADS)
    steps = mixed_steps()
    watch = Watch()
    model = load_declared(watch, ROOT / SHIPPED_FOLDER)
    sequential = run_sequentially(model, steps)
    dynamic, short_dynamic = run_in_batches(model, steps)

    def load(path: Path, device: torch.device) -> Model:
        return load_declared(watch, path)

    options = {"max_running": CONCURRENCY, "batch_rows": BATCH_ROWS}
    with serving(folder, load, **options) as engine:
        seconds, short = run_through(engine, steps)
        joined = max(enterprise_join_steps(engine, watch) for _ in range(TRIES))
    return {
        "mixed_vs_sequential": round(sequential / seconds, 2),
        "mixed_vs_dynamic": round(dynamic / seconds, 2),
        "short_p95_vs_dynamic": round(short / short_dynamic, 2),
        "enterprise_join_steps": joined,
    }


def mixed_steps() -> list[int]:
    """How many steps each job has: equal shares, shuffled."""
    steps = [MIXED_STEPS[number % len(MIXED_STEPS)] for number in range(JOBS)]
    random.Random(0).shuffle(steps)
    return steps


def load_declared(watch: Watch, folder: Path) -> Model:
    """The demo model with a denoiser that sleeps, and a VAE and words that cost nothing."""
    model = load_model(folder, CPU)
    encoder = model.components["text_encoder"]
    known: dict[bytes, Any] = {}
    real = partial(type(encoder).forward, encoder)

    def forward(real: Any, sample: torch.Tensor, timestep: torch.Tensor, *_: Any, **__: Any) -> Any:
        watch.note(timestep)
        time.sleep(CALL_SECONDS + ROW_SECONDS * len(sample))
        return (torch.zeros_like(sample),)

    def decode(latents: torch.Tensor, **_: Any) -> Any:
        scale = model.vae_scale
        height, width = latents.shape[-2] * scale, latents.shape[-1] * scale
        return (torch.zeros(len(latents), 3, height, width),)

    def encode(input_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        words = input_ids.numpy().tobytes()
        if words not in known:
            known[words] = real(input_ids, *args, **kwargs)
        return known[words]

    replace_denoiser(model, forward)
    encoder.forward = encode
    suspend(encoder, "forward", Kind.SIDE, (model.identity, "text_encoder"))
    model.components["vae"].decode = decode
    suspend(model.components["vae"], "decode", Kind.SIDE, (model.identity, "decode"))
    return model


def run_sequentially(model: Model, steps: list[int]) -> float:
    """Seconds for all jobs, one after another."""
    begun = time.perf_counter()
    for seed, count in enumerate(steps):
        picture = begin(model, make_request(count, seed))
        call = picture.advance()
        while call is not None:
            call = picture.advance(call.run())
    return time.perf_counter() - begun


def run_in_batches(model: Model, steps: list[int]) -> tuple[float, float]:
    """Seconds for all jobs when each batch runs to its longest member's end, and the 95th
    percentile of the times of short jobs. Who is done early leaves its rows to nobody."""
    begun, short = time.perf_counter(), []
    jobs = deque(make_request(count, seed) for seed, count in enumerate(steps))
    while jobs:
        batch = [jobs.popleft() for _ in range(min(CONCURRENCY, len(jobs)))]
        formed = time.perf_counter()
        run_batch(model, batch)
        seconds = time.perf_counter() - formed
        short += [seconds for request in batch if request.steps == SHORT_STEPS]
    return time.perf_counter() - begun, percentile_95(short)


def run_batch(model: Model, requests: list[Request]) -> None:
    """All pictures of one batch, step by step together."""
    pictures = [begin(model, request) for request in requests]
    going = [picture for picture in pictures if to_step(picture, None)]
    while going:
        calls = [picture.call for picture in going if picture.call is not None]
        rows = sum(call.rows for call in calls)
        answers = run_together(calls, padded_rows(rows, BUCKETS))
        pairs = list(zip(going, answers, strict=True))
        going = [picture for picture, answer in pairs if to_step(picture, answer)]


def to_step(picture: Picture, answer: Any) -> bool:
    """Take a picture on to its next step; whether there is one."""
    call = picture.advance(answer)
    while call is not None and call.kind is Kind.SIDE:
        call = picture.advance(call.run())
    return call is not None


def run_through(engine: Any, steps: list[int]) -> tuple[float, float]:
    """Seconds for all jobs through the engine, 8 at a time, and the short ones' percentile."""
    waiting = deque(enumerate(steps))
    callers: list[tuple[int, Caller]] = []
    all_done = Event()

    def next_one(_: Caller | None = None) -> None:
        if waiting:
            seed, count = waiting.popleft()
            about = {"ended": next_one}
            callers.append((count, submit(engine, request_fields(count, seed), **about)))
        elif all(caller.over.is_set() for _, caller in callers):
            all_done.set()

    begun = time.perf_counter()
    for _ in range(CONCURRENCY):
        next_one()
    all_done.wait()
    seconds = time.perf_counter() - begun
    if not all(caller.has_picture for _, caller in callers):
        raise RuntimeError("the engine failed a job of the benchmark")
    short = [caller.seconds for count, caller in callers if count == SHORT_STEPS]
    return seconds, percentile_95(short)


def enterprise_join_steps(engine: Any, watch: Watch) -> int:
    """Steps that begin between the arrival of an urgent picture and its first one."""
    free = [
        submit(engine, request_fields(100, seed, priority=LAST_CLASS))
        for seed in range(CONCURRENCY)
    ]
    for caller in free:
        await_steps(caller, 2)
    urgent = submit(engine, request_fields(1, 99, priority=0)).wait()
    steps = watch.until_joined(urgent.submitted)
    cancel(free)
    return steps


def percentile_95(values: list[float]) -> float:
    """The value that 95 in 100 do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else math.nan
