"""Measure the demo model: does it draw what the prompt says, how fast, in how many bytes?

    python -m bench.demo_model [--json]

The measure itself, `inference.training.fidelity`, needs torch: it runs in the interpreter that
EASEL_INFERENCE_PYTHON names, or in this one.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[1]


def main(argv: list[str]) -> int:
    """Print the figures of the measure; returns its exit status."""
    python = os.environ.get("EASEL_INFERENCE_PYTHON", sys.executable)
    command = [python, "-m", "inference.training.fidelity", *argv]
    # Waiting OpenMP threads that spin make a busy machine many times slower.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    return subprocess.run(command, cwd=_ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
