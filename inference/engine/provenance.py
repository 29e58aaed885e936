"""What made a picture: the build and the weights, enough to know whether it can be made again.

The same request with the same `made_by` gives the same bytes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGE = Path(__file__).resolve().parents[1]
BUILD_ROOMS = ("engine", "pipelines", "runners")
LIBRARIES = ("torch", "diffusers", "transformers", "peft", "numpy", "safetensors", "pillow")
MadeBy = dict[str, str | dict[str, str]]


def made_by(
    model: Path,
    adapters: Mapping[str, Path],
    *,
    device: torch.device,
    dtype: torch.dtype,
    batch_rows: Sequence[int] = (),
) -> MadeBy:
    """The build (`engine` is a digest of our own source), the device, the sizes of batches, and
    digests of the weights.

    The first call for a folder reads all of it.
    """
    return {
        "engine": build_digest(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "device": describe_device(device),
        "batch_rows": ",".join(map(str, batch_rows)),
        "dtype": str(dtype).removeprefix("torch."),
        "model": folder_digest(model),
        "adapters": {name: folder_digest(folder) for name, folder in adapters.items()},
    }


def describe_device(device: torch.device) -> str:
    """The parts of a machine that floating-point results may depend on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


@cache
def build_digest() -> str:
    """SHA-256 of the source that draws, by path."""
    files = [path for room in BUILD_ROOMS for path in (PACKAGE / room).rglob("*.py")]
    return _digest(PACKAGE, files)


def folder_digest(folder: Path) -> str:
    """SHA-256 of every file of a model folder, by path; what stays as it is is read once. Hidden
    files are notes of whoever keeps the folder."""
    files = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    stats = [path.stat() for path in files]
    return _read_once(folder, tuple((s.st_size, s.st_mtime_ns) for s in stats), tuple(files))


@cache
def _read_once(folder: Path, _state: tuple[tuple[int, int], ...], files: tuple[Path, ...]) -> str:
    return _digest(folder, list(files))


def _digest(root: Path, files: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as stream:
            one = hashlib.file_digest(stream, "sha256")
        whole.update(f"{path.relative_to(root)}\0{one.hexdigest()}\n".encode())
    return whole.hexdigest()
