"""Models in memory: loaded by demand, adapted for requests with adapters, and unloaded, the one
that was used longest ago first, when others need the room."""

import json
import re
import struct
import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from inference.engine.memory import weight_bytes
from inference.engine.provenance import MadeBy, made_by
from inference.engine.settings import EngineSettings, find_model_folder
from inference.pipelines.adapters import adapt, adaptation
from inference.pipelines.loading import LoadError, Model, check_folder, load_model
from inference.pipelines.request import InvalidRequest, Request
from inference.runners.choice import GUIDED_ROWS, Choice
from inference.runners.faults import free_caches
from inference.runners.runner import Usage, install, install_adapted

ADAPTED_KEPT = 4
FULL_PRECISION_BYTES = 4
WEIGHT_FILE = re.compile(r"(diffusion_pytorch_model|model)(-\d+-of-\d+)?\.safetensors")

Load = Callable[[Path, torch.device], Model]


@dataclass(frozen=True)
class Wanted:
    """A model as a request wants it: `adapted` is None for the model alone."""

    name: str
    adapted: Hashable | None


def wanted(request: Request) -> Wanted:
    """What the request needs to lie on the shelf."""
    return Wanted(request.model, adaptation(request))


@dataclass
class Entry:
    """A model in memory. `bytes` are those that no other entry has; `used` is a monotonic time."""

    model: Model
    bytes: int
    made_by: MadeBy
    load_seconds: float
    used: float
    usage: Usage


# What is loaded, and the work of it.
Loading = tuple[Wanted, Callable[[], Entry]]


class Shelf:
    """Belongs to the engine's thread; what `loading` returns is called by another."""

    def __init__(
        self, settings: EngineSettings, device: torch.device, load: Load = load_model
    ) -> None:
        self.entries: dict[Wanted, Entry] = {}
        self.is_loading: Wanted | None = None
        self._reserved = 0
        self._settings = settings
        rows = settings.batch_rows or (GUIDED_ROWS,)
        self._choice = Choice(settings.runner, settings.exports_dir, settings.threads, rows)
        self._device = device
        self._load = load

    def find(self, request: Request) -> Entry | None:
        """The model as the request wants it, if it is there."""
        entry = self.entries.get(wanted(request))
        if entry is not None:
            now = time.monotonic()
            entry.used = now
            self.entries[Wanted(request.model, None)].used = now
        return entry

    def check(self, name: str) -> Path:
        """The folder of a model that could be loaded. Raises InvalidRequest."""
        folder = find_model_folder(self._settings, name)
        try:
            check_folder(folder)
        except LoadError as error:
            raise InvalidRequest(f"unknown model {name!r}: {error}") from error
        return folder

    def bytes_to_load(self, name: str) -> int:
        """What the model will take, if it has to be loaded yet."""
        if Wanted(name, None) in self.entries:
            return 0
        return stored_elements(self.check(name)) * self._item_bytes

    @property
    def bytes(self) -> int:
        """What lies here, and what is being loaded."""
        return sum(entry.bytes for entry in self.entries.values()) + self._reserved

    def bytes_of(self, request: Request) -> int:
        """What the model takes as the request wants it."""
        wants = {Wanted(request.model, None), wanted(request)}
        return sum(self.entries[want].bytes for want in wants if want in self.entries)

    def bytes_in_use(self, names: Collection[str]) -> int:
        """What these models and their adapted forms take, and what is being loaded."""
        used = [entry.bytes for want, entry in self.entries.items() if want.name in names]
        return sum(used) + self._reserved

    def loading(self, name: str) -> Loading:
        """The work of loading a model, for another thread; it raises LoadError and others."""
        folder = self.check(name)
        self._reserved = self.bytes_to_load(name)
        self.is_loading = Wanted(name, None)
        return self.is_loading, lambda: self._load_base(name, folder)

    def adapting(self, request: Request) -> Loading:
        """The work of adapting a loaded model to a request, for another thread; it raises
        InvalidRequest for adapters that do not fit."""
        folder = self.check(request.model)
        base = self.entries[Wanted(request.model, None)]
        self.is_loading = wanted(request)
        return self.is_loading, lambda: self._adapt(base, folder, request)

    def loaded(self, entry: Entry | None) -> None:
        """Put what was loaded into its place; None when that failed."""
        assert self.is_loading is not None
        if entry is not None:
            self.entries[self.is_loading] = entry
        self.is_loading, self._reserved = None, 0

    def remove(self, name: str) -> None:
        """Forget a model and its adapted forms."""
        for want in [want for want in self.entries if want.name == name]:
            del self.entries[want]
        free_caches()

    def oldest_idle(self, in_use: Collection[str]) -> str | None:
        """The model that was used longest ago, of those that nobody uses now."""
        bases = {want: entry for want, entry in self.entries.items() if want.adapted is None}
        idle = {want.name: entry.used for want, entry in bases.items() if want.name not in in_use}
        return min(idle, key=idle.__getitem__, default=None)

    def forget_adapted(self, in_use: Collection[Wanted]) -> None:
        """Keep the last few of the adapted models, and those in use."""
        spare = [w for w in self.entries if w.adapted is not None and w not in in_use]
        spare.sort(key=lambda want: self.entries[want].used)
        for want in (forgotten := spare[: max(0, len(spare) - ADAPTED_KEPT)]):
            del self.entries[want]
        if forgotten:
            free_caches()

    def _load_base(self, name: str, folder: Path) -> Entry:
        begun = time.monotonic()
        model = self._load(folder, self._device)
        usage = install(model, name, self._choice)
        facts = self._made_by(folder, {}, model)
        facts["runner"] = usage.computed_by
        taken = sum(weight_bytes(model.components).values())
        return _entry(model, taken + usage.bytes, facts, begun, usage)

    def _made_by(self, folder: Path, adapters: dict[str, Path], model: Model) -> MadeBy:
        rows = self._settings.batch_rows
        return made_by(folder, adapters, device=self._device, dtype=model.dtype, batch_rows=rows)

    def _adapt(self, base_entry: Entry, folder: Path, request: Request) -> Entry:
        begun, base = time.monotonic(), base_entry.model
        model = adapt(base, request, self._find_folder)
        runner = install_adapted(model, request.model, base, base_entry.usage)
        names = [lora.name for lora in request.loras]
        names += [control.name for control in request.controls]
        names += [prompt.name for prompt in request.image_prompts]
        folders = {name: self._find_folder(name) for name in names}
        facts = self._made_by(folder, folders, base)
        facts["runner"] = runner
        shared = weight_bytes(base.components)
        own = [n for at, n in weight_bytes(model.components).items() if at not in shared]
        return _entry(model, sum(own), facts, begun, base_entry.usage)

    def _find_folder(self, name: str) -> Path:
        return find_model_folder(self._settings, name)

    @property
    def _item_bytes(self) -> int:
        return FULL_PRECISION_BYTES if self._device.type == "cpu" else FULL_PRECISION_BYTES // 2


def _entry(model: Model, taken: int, facts: MadeBy, begun: float, usage: Usage) -> Entry:
    now = time.monotonic()
    return Entry(model, taken, facts, load_seconds=now - begun, used=now, usage=usage)


def stored_elements(folder: Path) -> int:
    """Numbers in the weight files of a pipeline folder, variants like `.fp16` apart."""
    files = [path for path in folder.glob("*/*.safetensors") if WEIGHT_FILE.fullmatch(path.name)]
    return sum(_elements(path) for path in files)


def _elements(path: Path) -> int:
    """The first 8 bytes are the length of the JSON that describes the tensors."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        tensors = json.loads(stream.read(length))
    return sum(prod(one["shape"]) for name, one in tensors.items() if name != "__metadata__")
