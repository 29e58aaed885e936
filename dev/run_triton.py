"""Become Triton: `python -m dev.run_triton`, started by the process manager.

A server that was killed leaves its stubs and shared memory behind, so each start clears them
first; then this process turns into the server and keeps its id. Settings: EASEL_INFERENCE_PYTHON,
EASEL_TRITON_STATE (a folder), EASEL_TRITON_PORTS (http,grpc,metrics,engine metrics),
EASEL_TRITON_CONTROL_KEY, EASEL_TRITON_THREADS, EASEL_TRITON_MODELS_DIR (may be empty).
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dev.parts import triton
from dev.state import ROOT

# The worker ends before it: nothing is in flight, and its models need not unload in peace.
EXIT_SECONDS = 1


def place_of(settings: Mapping[str, str]) -> triton.TritonPlace:
    """Where this Triton runs."""
    models = settings["EASEL_TRITON_MODELS_DIR"]
    return triton.TritonPlace(
        root=ROOT,
        state=Path(settings["EASEL_TRITON_STATE"]),
        ports=triton.TritonPorts(*map(int, settings["EASEL_TRITON_PORTS"].split(","))),
        control_key=settings["EASEL_TRITON_CONTROL_KEY"],
        models_dir=Path(models) if models else None,
        threads=int(settings["EASEL_TRITON_THREADS"]),
    )


def main() -> None:
    place = place_of(os.environ)
    try:
        install = triton.find_triton(Path(os.environ["EASEL_INFERENCE_PYTHON"]))
        triton.clear_leftovers(place)
        command = triton.command(install, place, exit_timeout_seconds=EXIT_SECONDS)
        variables = {**os.environ, **triton.environment(install, place)}
    except triton.MissingPart as missing:
        sys.exit(f"triton: {missing}")
    os.execve(command[0], command, variables)


if __name__ == "__main__":
    main()
