"""Which runner computes a denoiser, and what it needs to know."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EAGER, COMPILE, ONNX_RUNTIME, TRITON = RUNNERS = ("eager", "compile", "onnxruntime", "triton")
GUIDED_ROWS = 2


@dataclass(frozen=True)
class Choice:
    """`name` is one of RUNNERS. `exports` holds an export a model, `<exports>/<model>/`. `threads`
    are ONNX Runtime's. Calls of `rows` rows at the model's own size are made ready at load."""

    name: str
    exports: Path
    threads: int
    rows: Sequence[int] = (GUIDED_ROWS,)
