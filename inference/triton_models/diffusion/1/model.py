"""Triton's entry to the diffusion engine: a shim that finds `inference` and hands every call on.

The Python backend ignores PYTHONPATH. So the repository root is put on the import path here: the
folder that EASEL_ROOT names, or the one above this file that holds `inference/engine`. Where the
model repository travels alone, `inference` has to be installed in Triton's Python.
"""

import os
import sys
from pathlib import Path
from typing import Any

# Waiting OpenMP threads that spin starve the rest of a small machine and each other: with two busy
# neighbours on two cores, the same step took 5 to 50 times as long. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

HERE = Path(__file__).resolve()


def find_root() -> Path:
    """The repository root, or this folder when `inference` is an installed package."""
    candidates = [Path(os.environ["EASEL_ROOT"])] if "EASEL_ROOT" in os.environ else HERE.parents
    for folder in candidates:
        if (folder / "inference" / "engine").is_dir():
            return folder
    return HERE.parent


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        root = find_root()
        sys.path.insert(0, str(root))
        from inference.engine.triton import Service

        self.service = Service(args, root)

    def execute(self, requests: list[Any]) -> None:
        self.service.execute(requests)

    def finalize(self) -> None:
        self.service.finalize()
