"""Pictures a second on this machine's GPU, by every way to draw them: one call, no download.

    python -m bench.gpu [--models sd15,sdxl] [--concurrency 1,4,8,16] [--dtype bf16|fp16]

Random-weight models shaped like SD 1.5 (512 px) and SDXL (1024 px), 20 Euler steps with guidance,
text encoders and VAE included:

    eager             diffusers' pipeline, one picture after another
    compiled          the same, the UNet compiled and replayed as a CUDA graph
    engine            our engine, steps of all pictures in one batch
    engine_compiled   both

`ceiling_share` is what the UNet's multiplications and additions took of those that this GPU does in
one large matrix product. Results go to bench/results/<date>-<device>.json and .md. It needs a CUDA
build of torch with the other packages of the inference environment; without a GPU it says so and
exits with 3. `--tiny` walks the same code on any machine, in minutes of compiling; its figures mean
nothing.
"""

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.gpu_models import SHAPES, TINY_SHAPES, Shape, fresh, make_model
from bench.gpu_ways import Speed, by_engine, one_after_another, request_text
from inference.export.parts import unet_part
from inference.export.tensors import random_tensors
from inference.pipelines.loading import Model
from inference.runners.choice import COMPILE, EAGER
from inference.runners.faults import free_caches

RESULTS = Path(__file__).with_name("results")
NO_GPU = 3
STEPS, TINY_STEPS = 20, 3
SEQUENTIAL_IMAGES = 4
ROUNDS = 2  # pictures a slot, but no fewer than one after another
MATRIX_SIDE, TINY_MATRIX_SIDE, PRODUCTS = 8192, 256, 20
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
GIB, TERA = 1 << 30, 1e12

Figures = dict[str, Any]


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, and write it; the process's exit status."""
    options = parse(argv)
    if not options.tiny and not torch.cuda.is_available():
        print("bench: there is no CUDA GPU here: nothing was measured", file=sys.stderr)
        return NO_GPU
    device = torch.device("cpu") if options.tiny else torch.device("cuda", 0)
    dtype = torch.float32 if options.tiny else DTYPES[options.dtype]
    shapes = TINY_SHAPES if options.tiny else SHAPES
    report = describe(device, dtype, options)
    report["ceiling_tflops"] = round(matmul_ceiling(device, dtype, options.tiny) / TERA, 1)
    for name in options.models.split(","):
        measure(name, shapes[name], device, dtype, report, partial(write, report, options.output))
        free_caches()
    print(json.dumps(report) if options.json else as_table(report))
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", default=",".join(SHAPES))
    parser.add_argument("--concurrency", help="(default: 1,4,8,16)")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--output", type=Path, default=RESULTS, help="a folder for the results")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, on the CPU")
    options = parser.parse_args(argv)
    options.concurrency = options.concurrency or ("1,2" if options.tiny else "1,4,8,16")
    if unknown := set(options.models.split(",")) - set(SHAPES):
        parser.error(f"no such model: {', '.join(sorted(unknown))}; there are {', '.join(SHAPES)}")
    return options


def describe(
    device: torch.device, dtype: torch.dtype, options: argparse.Namespace
) -> dict[str, Any]:
    is_gpu = device.type == "cuda"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": torch.cuda.get_device_name(device) if is_gpu else "cpu (tiny shapes)",
        "memory_gib": round(torch.cuda.mem_get_info(device)[1] / GIB, 1) if is_gpu else 0,
        "torch": torch.__version__,
        "dtype": str(dtype).removeprefix("torch."),
        "steps": TINY_STEPS if options.tiny else STEPS,
        "concurrency": [int(number) for number in options.concurrency.split(",")],
        "models": {},
    }


def matmul_ceiling(device: torch.device, dtype: torch.dtype, is_tiny: bool) -> float:
    """Multiplications and additions a second in a product of two large square matrices."""
    side = TINY_MATRIX_SIDE if is_tiny else MATRIX_SIDE
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        torch.mm(one, other)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(3):
        multiply()
    return 2 * side**3 / statistics.median(seconds_of(multiply) for _ in range(PRODUCTS))


def seconds_of(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def measure(
    name: str,
    shape: Shape,
    device: torch.device,
    dtype: torch.dtype,
    report: dict[str, Any],
    save: Callable[[], None],
) -> None:
    """All ways to draw with one model; each figure goes into the report, and is saved, at once."""
    say(f"{name}: making random weights")
    model = make_model(name, shape, device, dtype)
    work = report["steps"] * unet_operations(model)
    ceiling = report["ceiling_tflops"] * TERA
    texts = [request_text(name, shape, report["steps"], seed) for seed in range(64)]
    ways: dict[str, dict[str, Figures]] = {}
    facts = {"side": shape.side, "unet_tflops_a_picture": round(work / TERA, 2)}
    report["models"][name] = {**facts, "ways": ways}

    def note(way: str, slots: int, draw: Callable[[], Speed]) -> None:
        ways.setdefault(way, {})[str(slots)] = figures = figures_of(draw, work, ceiling)
        eager = ways[EAGER]["1"].get("images_per_second")
        if eager and "failed" not in figures:
            figures["vs_eager"] = round(figures["images_per_second"] / eager, 2)
        say(f"{name}: {way} at {slots}: {figures}")
        save()
        free_caches()

    for way, runner in ((EAGER, EAGER), ("compiled", COMPILE)):
        note(way, 1, partial(one_after_another, model, texts[:SEQUENTIAL_IMAGES], runner))
    with TemporaryDirectory() as folder:
        for way, runner in (("engine", EAGER), ("engine_compiled", COMPILE)):
            for slots in report["concurrency"]:
                few = texts[: max(SEQUENTIAL_IMAGES, ROUNDS * slots)]
                note(way, slots, partial(by_engine, model, few, runner, slots, Path(folder)))


def figures_of(draw: Callable[[], Speed], work: float, ceiling: float) -> Figures:
    """What a way to draw achieved, or why it failed: out of memory at many pictures, say."""
    try:
        speed = draw()
    except RuntimeError as error:
        return {"failed": str(error).strip().split("\n")[0]}
    return {
        "images_per_second": round(speed.images_per_second, 4),
        "ceiling_share": round(speed.images_per_second * work / ceiling, 3),
        "peak_gib": round(speed.peak_bytes / GIB, 2),
    }


def unet_operations(model: Model) -> float:
    """Multiplications and additions of a guided step."""
    part = unet_part(fresh(model).denoiser)
    inputs = random_tensors(part.inputs, 2, part.sides())
    moved = [
        value.to(model.device, torch.float32 if name == "timestep" else model.dtype)
        for name, value in inputs.items()
    ]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        part.network(*moved)
    return float(counter.get_total_flops())


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def write(report: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    device = re.sub(r"[^a-z0-9]+", "-", report["device"].lower()).strip("-")
    path = folder / f"{report['date']}-{device}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(as_table(report), encoding="utf-8")


def as_table(report: dict[str, Any]) -> str:
    """Markdown: a line for each way and concurrency."""
    lines = [
        f"{report['device']}, {report['dtype']}, torch {report['torch']}, {report['date']}; "
        f"{report['steps']} Euler steps with guidance; one large matrix product: "
        f"{report['ceiling_tflops']} TFLOP/s.",
        "",
        "| model | way | at once | images/s | over eager | of the ceiling | peak GiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, model in report["models"].items():
        for way, speeds in model["ways"].items():
            for slots, figures in speeds.items():
                start = f"| {name} {model['side']} px | {way} | {slots} |"
                lines.append(f"{start} {_cells(figures)} |")
    return "\n".join(lines) + "\n"


def _cells(figures: Figures) -> str:
    if "failed" in figures:
        return f"{figures['failed']} | | |"
    speed, share = figures["images_per_second"], figures["ceiling_share"]
    over = figures.get("vs_eager", "")
    return f"{speed:.3g} | {over} | {share:.0%} | {figures['peak_gib']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
