"""Runs one real part for as long as a test session needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.parts.program import Program, start, stop, wait_ready


@contextmanager
def running(program: Program, folder: Path, seconds: float = 30) -> Iterator[None]:
    """The part is ready inside the block; its log lies in `folder`. Raises PartError."""
    log = folder / f"{program.name}.log"
    process = start(program, log)
    try:
        wait_ready(program, process, log, seconds)
        yield
    finally:
        stop(program, process)
