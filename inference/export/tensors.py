"""The tensor contract of an exported part, the same for every target."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

# Triton's names of the types that the parts take and give.
TORCH_TYPES = {"FP32": torch.float32, "INT64": torch.int64}
HEIGHT, WIDTH, TOKENS = "height", "width", "tokens"


@dataclass(frozen=True)
class Tensor:
    """One input or output. `dims` come without the batch, whose axis is always first: a number is
    fixed, a name varies from call to call; no dims at all are one number a row.

    Random values for checks are whole numbers below `below` where that is given, else normal.
    """

    name: str
    dims: tuple[int | str, ...]
    dtype: str = "FP32"
    below: int = 0

    def shape(self, batch: int, sides: Mapping[str, int]) -> tuple[int, ...]:
        """The shape for a batch and the sides of its varying axes."""
        return (batch, *(dim if isinstance(dim, int) else sides[dim] for dim in self.dims))


def random_tensors(
    tensors: tuple[Tensor, ...], batch: int, sides: Mapping[str, int], seed: int = 0
) -> dict[str, torch.Tensor]:
    """Values for every input, the same for the same arguments."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for tensor in tensors:
        shape, dtype = tensor.shape(batch, sides), TORCH_TYPES[tensor.dtype]
        if tensor.below:
            values = torch.randint(tensor.below, shape, generator=generator)
        else:
            values = torch.randn(shape, generator=generator)
        made[tensor.name] = values.to(dtype)
    return made


def relative_error(answer: Any, expected: Any) -> float:
    """max|answer - expected| / max|expected|; infinite for other shapes or values not finite."""
    if answer.shape != expected.shape or not np.isfinite(answer).all():
        return float("inf")
    return float(np.abs(answer - expected).max() / max(float(np.abs(expected).max()), 1e-30))
