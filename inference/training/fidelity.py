"""Measure the demo model: does it draw what the prompt says, how fast, in how many bytes?

    python -m inference.training.fidelity [--json]

Fidelity: the share of (prompt, new seed) pairs for which the training picture nearest to the
drawn one by pixel L2 distance carries the prompted name.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import time
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image

from inference.training import captions, evaluate

MODEL = pathlib.Path(__file__).parents[1] / "demo_model"
_TIMED_PICTURES = 5


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, default=MODEL)
    parser.add_argument("--reference", type=pathlib.Path, default=MODEL)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20_000, help="draws the pairs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sheet", type=pathlib.Path, help="save the drawn pictures here")
    return parser.parse_args(argv)


def load(folder: pathlib.Path) -> Any:
    """Load the pipeline in float32, without progress bars."""
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    pipeline: Any = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def time_picture(pipeline: Any, prompt: str) -> float:
    """Return the median wall time of one picture alone, in milliseconds."""
    evaluate.draw(pipeline, [prompt], [0])
    spent = []
    for seed in range(_TIMED_PICTURES):
        started = time.perf_counter()
        evaluate.draw(pipeline, [prompt], [seed])
        spent.append((time.perf_counter() - started) * 1000)
    return statistics.median(spent)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Draw the pairs and count the hits; the result is ready to print as JSON."""
    pipeline = load(options.model)
    names, reference = evaluate.load_reference(options.reference)
    pairs = evaluate.draw_pairs(names, options.pairs, options.seed)
    prompts = [captions.with_article(names[index]) for index, _ in pairs]
    images = evaluate.draw(pipeline, prompts, [seed for _, seed in pairs])
    found = evaluate.nearest(images, reference)
    wrong = [
        {"prompt": prompt, "seed": seed, "nearest": names[near]}
        for prompt, (index, seed), near in zip(prompts, pairs, found, strict=True)
        if near != index
    ]
    if options.sheet:
        save_sheet(images, options.sheet)
    weights = sum(path.stat().st_size for path in options.model.rglob("*.safetensors"))
    return {
        "fidelity": round(1 - len(wrong) / len(pairs), 4),
        "pairs": len(pairs),
        "names": len(names),
        "steps": evaluate.STEPS,
        "guidance": evaluate.GUIDANCE,
        "picture_ms": round(time_picture(pipeline, prompts[0]), 1),
        "weights_mb": round(weights / 1e6, 2),
        "wrong": wrong,
    }


def save_sheet(images: list[Image.Image], path: pathlib.Path) -> None:
    """Save the drawn pictures in the order of the pairs."""
    evaluate.sheet(images, 20).save(path)


def table(result: dict[str, Any]) -> str:
    """Format the result for people."""
    rows = [(key, result[key]) for key in result if key != "wrong"]
    lines = [f"{key:<12} {value}" for key, value in rows]
    lines += [f"wrong: {w['prompt']} (seed {w['seed']}) -> {w['nearest']}" for w in result["wrong"]]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Print the figures; returns the exit status."""
    options = parse(argv)
    torch.set_num_threads(options.threads)
    result = measure(options)
    print(json.dumps(result) if options.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
