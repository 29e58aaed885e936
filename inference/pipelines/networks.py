"""Networks that adapters bring along whole (ControlNets, image encoders): one in memory for all."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch

from inference.pipelines.calls import Kind
from inference.pipelines.loading import Model
from inference.pipelines.picture import suspend
from inference.pipelines.request import InvalidRequest
from inference.pipelines.tiling import close_edges

_loaded: "WeakValueDictionary[Hashable, torch.nn.Module]" = WeakValueDictionary()


@dataclass(frozen=True)
class NetworkKind:
    """A class of networks, and how pictures are suspended at their calls."""

    network: type[Any]
    kind: Kind
    skipped: Callable[..., Any] | None = None


def load_network(
    wanted: NetworkKind, folder: Path, model: Model, where: str, *, closed: bool = False
) -> torch.nn.Module:
    """The network in a folder, suspended, on the device of a model; the same one as long as anybody
    has it, so nobody may change it. `closed`: with closed edges (`tiling.py`).

    Raises InvalidRequest, beginning with `where`, for a folder that does not hold it whole.
    """
    stamp = folder.stat()
    file = (str(folder.resolve()), stamp.st_ino, stamp.st_mtime_ns)
    key = (wanted.network.__name__, *file, str(model.device), model.dtype, closed)
    found = _loaded.get(key)
    if found is None:
        found = _read(wanted.network, folder, model.dtype, where)
        found.to(model.device).eval().requires_grad_(False)
        if closed:
            close_edges(found)
        suspend(found, "forward", wanted.kind, key, skipped=wanted.skipped)
        _loaded[key] = found
    return found


def _read(network: type[Any], folder: Path, dtype: torch.dtype, where: str) -> Any:
    options = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    try:
        part, report = network.from_pretrained(str(folder), output_loading_info=True, **options)
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InvalidRequest(f"{where}: {folder.name!r} cannot be loaded: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise InvalidRequest(f"{where}: {folder.name!r} lacks weights: {missing[0]} and more")
    return part
