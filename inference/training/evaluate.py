"""Prompt fidelity: is the training picture nearest to a drawn picture the prompted one?"""

from __future__ import annotations

import json
import pathlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

SIDE = 64
STEPS = 20
GUIDANCE = 5.0
_COLUMNS = 20
_BATCH = 20


def save_reference(folder: pathlib.Path, names: Sequence[str], pictures: Tensor) -> None:
    """Write names.json and reference.webp (lossless, 20 pictures a row) for [n, 3, 64, 64]."""
    sheet(to_images(pictures), _COLUMNS).save(folder / "reference.webp", lossless=True, method=6)
    text = json.dumps(list(names), ensure_ascii=False, indent=0)
    (folder / "names.json").write_text(text + "\n", encoding="utf-8")


def load_reference(folder: pathlib.Path) -> tuple[list[str], NDArray[np.uint8]]:
    """Read the names and their training pictures, uint8 [n, 64, 64, 3]."""
    names: list[str] = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    grid = np.asarray(Image.open(folder / "reference.webp").convert("RGB"))
    rows = grid.shape[0] // SIDE
    tiles = grid.reshape(rows, SIDE, _COLUMNS, SIDE, 3).swapaxes(1, 2)
    return names, tiles.reshape(-1, SIDE, SIDE, 3)[: len(names)]


def to_images(pictures: Tensor) -> list[Image.Image]:
    """Turn RGB [n, 3, h, w] in -1..1 into images."""
    pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    return [Image.fromarray(picture.contiguous().numpy()) for picture in pixels]


def sheet(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """Lay 64 px images out in rows without gaps."""
    rows = -(-len(images) // columns)
    page = Image.new("RGB", (columns * SIDE, rows * SIDE), "white")
    for index, image in enumerate(images):
        page.paste(image, (index % columns * SIDE, index // columns * SIDE))
    return page


def draw(pipeline: Any, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
    """Draw one 64 px picture a prompt, each from a generator of its own seed."""
    images: list[Image.Image] = []
    for start in range(0, len(prompts), _BATCH):
        part = slice(start, start + _BATCH)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[part]]
        images += pipeline(
            list(prompts[part]),
            height=SIDE,
            width=SIDE,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=generators,
        ).images
    return images


def nearest(images: Sequence[Image.Image], reference: NDArray[np.uint8]) -> list[int]:
    """Find the nearest reference picture [n, 64, 64, 3] of each image by pixel L2 distance."""
    known = reference.reshape(len(reference), -1).astype(np.float32)
    found = []
    for image in images:
        drawn = np.asarray(image, dtype=np.float32).reshape(1, -1)
        found.append(int(((known - drawn) ** 2).sum(axis=1).argmin()))
    return found


def draw_pairs(names: Sequence[str], count: int, seed: int) -> list[tuple[int, int]]:
    """Draw (index of a name, new seed) pairs; no name twice before all have been drawn."""
    dice = random.Random(seed)
    order: list[int] = []
    while len(order) < count:
        order += dice.sample(range(len(names)), len(names))
    return [(index, dice.randrange(2**31)) for index in order[:count]]
