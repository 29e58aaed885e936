"""Triton's folder of models, filled from object storage: a model is fetched before the first
picture that needs it, and the one that was not needed for longest makes room.

A folder appears under its name when it is whole and verified. What was interrupted goes on where it
ended. Several workers may share the folder: a lock on a file lets one of them fetch a model.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from collections import Counter as Counts
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Counter, Histogram
from pydantic import ValidationError

from libs.storage.objects import ObjectStore, StorageUnavailable
from libs.telemetry.logs import get_logger
from libs.triton.client import TritonClient
from libs.triton.errors import InvalidGeneration, TritonError
from services.generation.model_files import MANIFEST, Manifest, ModelFile, digest_of, key_of

log = get_logger(__name__)
MAX_MANIFEST_BYTES = 2**20
LOCK_POLL_SECONDS = 0.5
PARTIAL, GONE, LOCK = ".partial-", ".gone-", ".lock-"
fetched = Counter("easel_models_fetched_total", "Models that were fetched", ("outcome",))
fetch_seconds = Histogram(
    "easel_model_fetch_seconds", "A whole model", buckets=(1, 5, 15, 30, 60, 120, 300, 600, 1800)
)


@dataclass
class ModelFolders:
    """One folder of models; `budget_bytes` bounds what was fetched into it, 0 for no limit."""

    store: ObjectStore
    folder: Path
    triton: TritonClient
    budget_bytes: int = 0
    in_use: Counts[str] = field(default_factory=Counts)
    fetching: dict[str, asyncio.Task[bool]] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def using(self, name: str) -> AsyncIterator[bool]:
        """The model stays for as long as the block; whether it was fetched for it.

        One that is neither here nor in the store is the engine's to refuse. Raises
        StorageUnavailable, and InvalidGeneration for one that never fits.
        """
        self.in_use[name] += 1
        try:
            yield await self.require(name)
        finally:
            self.in_use[name] -= 1

    async def require(self, name: str) -> bool:
        """Fetch a model that is not here; whether it was fetched. Raises as `using`.

        Whoever waits for it may be cancelled: it comes all the same, once.
        """
        if self.note_use(name):
            return False
        if name not in self.fetching:
            task = self.fetching[name] = asyncio.create_task(self.fetch_once(name))
            task.add_done_callback(lambda _: self.fetching.pop(name))
        return await asyncio.shield(self.fetching[name])

    async def fetch_once(self, name: str) -> bool:
        """Fetch a model, unless another process has; whether there is one. Raises as `using`."""
        manifest = await self.read_manifest(name)
        if manifest is None:
            return False
        try:
            async with lock_file(self.folder / f"{LOCK}{name}"):
                if not self.note_use(name):
                    await self.fetch(name, manifest)
        except (StorageUnavailable, OSError) as error:  # a full disk is one, too
            fetched.labels("interrupted").inc()
            raise StorageUnavailable(f"the model {name}: {error}") from error
        return True

    def note_use(self, name: str) -> bool:
        """Whether the model is here; if it was fetched once, this is its last use."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.folder / name / MANIFEST)
        return (self.folder / name).is_dir()

    async def read_manifest(self, name: str) -> Manifest | None:
        """None: the store has no such model. Raises StorageUnavailable for a broken one, too."""
        text = await self.store.read_at_most(key_of(name, MANIFEST), MAX_MANIFEST_BYTES)
        try:
            return None if text is None else Manifest.model_validate_json(text)
        except ValidationError as error:
            raise StorageUnavailable(f"the manifest of the model {name}: {error}") from error

    async def fetch(self, name: str, manifest: Manifest) -> None:
        """All files, verified, then the folder under its name."""
        begun, partial = time.monotonic(), self.folder / f"{PARTIAL}{name}"
        await self.make_room(name, manifest.bytes)
        log.info("model_fetch_begins", model=name, bytes=manifest.bytes)
        for file in manifest.files:
            await self.fetch_file(name, file, partial / file.path)
        (partial / MANIFEST).write_text(manifest.model_dump_json())
        partial.rename(self.folder / name)
        fetched.labels("fetched").inc()
        fetch_seconds.observe(time.monotonic() - begun)

    async def fetch_file(self, name: str, file: ModelFile, target: Path) -> None:
        """One file, from where it ended the last time. Raises StorageUnavailable."""
        if is_missing_bytes(target, file):
            await self.store.download(key_of(name, file.path), target)
        if await asyncio.to_thread(digest_of, target) != file.sha256:
            os.unlink(target)
            fetched.labels("damaged").inc()
            raise StorageUnavailable(f"{file.path} is not as the manifest says")

    async def make_room(self, name: str, needed: int) -> None:
        """Remove what was not used for longest, until so many bytes fit. Raises InvalidGeneration
        for a model that never fits, StorageUnavailable while all others are in use."""
        await asyncio.to_thread(clear_remains, self.folder)
        if not self.budget_bytes:
            return
        if needed > self.budget_bytes:
            raise InvalidGeneration(
                f"the model {name} takes {needed} bytes, more than its place of {self.budget_bytes}"
            )
        held = {folder: bytes_of(folder) for folder in self.fetched_folders()}
        for folder in sorted(held, key=lambda one: (one / MANIFEST).stat().st_mtime):
            if sum(held.values()) + needed <= self.budget_bytes:
                return
            if await self.remove(folder):
                del held[folder]
        if sum(held.values()) + needed > self.budget_bytes:
            raise StorageUnavailable(f"no room for the model {name}: all others are in use")

    def fetched_folders(self) -> list[Path]:
        """The models that were fetched; others are somebody's own."""
        return [
            manifest.parent
            for manifest in self.folder.glob(f"*/{MANIFEST}")
            if not manifest.parent.name.startswith(".")
        ]

    async def remove(self, folder: Path) -> bool:
        """Delete a model that nobody uses, out of the engine's memory first; whether it is gone."""
        if self.in_use[folder.name]:
            return False
        try:
            await self.triton.unload_model(folder.name)
        except TritonError as error:
            log.info("model_stays", model=folder.name, error=repr(error))
            return False
        if self.in_use[folder.name]:  # somebody came meanwhile; it will be loaded again
            return False
        gone = move_away(folder)
        await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)
        log.info("model_removed", model=folder.name)
        return True


def is_missing_bytes(target: Path, file: ModelFile) -> bool:
    """Whether there is more to come of a file; its folder and its beginning are there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    if target.stat().st_size > file.bytes:
        os.truncate(target, 0)
    return target.stat().st_size < file.bytes


def move_away(folder: Path) -> Path:
    """Where a folder lies that nobody finds any more, to be deleted."""
    return folder.rename(folder.with_name(f"{GONE}{folder.name}"))


def clear_remains(folder: Path) -> None:
    """Delete what a process that died was deleting."""
    for gone in folder.glob(f"{GONE}*"):
        shutil.rmtree(gone, ignore_errors=True)


def bytes_of(folder: Path) -> int:
    """What its manifest says that a fetched model takes."""
    return Manifest.model_validate_json((folder / MANIFEST).read_text()).bytes


@contextlib.asynccontextmanager
async def lock_file(path: Path) -> AsyncIterator[None]:
    """Nobody else on this machine holds the lock inside the block; a death lets it go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            await asyncio.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)
