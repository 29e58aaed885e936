"""Triton's folder of models, filled from object storage: a model is fetched before the first
picture that needs it, and the one that was not needed for longest makes room.

A folder appears under its name when it is whole and verified. What was interrupted goes on where it
ended. Several workers may share the folder, so what they must agree on is locks on files in it:

`.lock-{name}` is held while a model is fetched, `.use-{name}` (shared) while it is needed, and
`.room` while what lies in the folder changes.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Counter, Histogram
from pydantic import ValidationError

from libs.storage.objects import ObjectStore, StorageUnavailable
from libs.telemetry.logs import get_logger
from libs.triton.client import TritonClient
from libs.triton.errors import InvalidGeneration, TritonError
from services.generation.model_files import (
    MANIFEST,
    MARKER,
    Manifest,
    ModelFile,
    digest_of,
    key_of,
)
from services.generation.service.folder_locks import lock_file, lock_now

log = get_logger(__name__)
MAX_MANIFEST_BYTES = 2**20
ROOM_SECONDS = 60.0
ROOM_POLL_SECONDS = 0.5
PARTIAL, GONE, LOCK, USE, ROOM = ".partial-", ".gone-", ".lock-", ".use-", ".room"
fetched = Counter("easel_models_fetched_total", "Models that were fetched", ("outcome",))
fetch_seconds = Histogram(
    "easel_model_fetch_seconds", "A whole model", buckets=(1, 5, 15, 30, 60, 120, 300, 600, 1800)
)


@dataclass
class ModelFolders:
    """One folder of models; `budget_bytes` bounds what was fetched into it, 0 for no limit.

    A model waits up to `room_seconds` for room while all others are in use.
    """

    store: ObjectStore
    folder: Path
    triton: TritonClient
    budget_bytes: int = 0
    room_seconds: float = ROOM_SECONDS
    waiting: int = 0
    fetching: dict[str, asyncio.Task[bool]] = field(default_factory=dict)

    @property
    def waits_for_room(self) -> bool:
        """Whether a model waits until others are not in use: nothing should begin now."""
        return self.waiting > 0

    @contextlib.asynccontextmanager
    async def using(self, name: str) -> AsyncIterator[bool]:
        """The model stays for as long as the block, whoever shares the folder; whether it was
        fetched for it.

        One that is neither here nor in the store is the engine's to refuse. Raises
        StorageUnavailable, and InvalidGeneration for one that never fits.
        """
        async with lock_file(self.folder / f"{USE}{name}", shared=True):
            yield await self.require(name)

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
        with contextlib.suppress(OSError):
            os.utime(self.folder / name / MARKER)
        return (self.folder / name).is_dir()

    async def read_manifest(self, name: str) -> Manifest | None:
        """None: the store has no such model. Raises StorageUnavailable for a broken one, too."""
        text = await self.store.read_at_most(key_of(name, MANIFEST), MAX_MANIFEST_BYTES)
        try:
            return None if text is None else Manifest.model_validate_json(text)
        except ValidationError as error:
            raise StorageUnavailable(f"the manifest of the model {name}: {error}") from error

    async def fetch(self, name: str, manifest: Manifest) -> None:
        """Room, all files, verified, then the folder under its name. Raises as `using`."""
        await self.reserve_room(name, manifest)
        begun, partial = time.monotonic(), self.folder / f"{PARTIAL}{name}"
        log.info("model_fetch_begins", model=name, bytes=manifest.bytes)
        for file in manifest.files:
            await self.fetch_file(name, file, partial / file.path)
        async with lock_file(self.folder / ROOM):
            partial.rename(self.folder / name)
            self.note_use(name)
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

    async def reserve_room(self, name: str, manifest: Manifest) -> None:
        """Room for a model, waiting for what uses the others to end. Raises InvalidGeneration for
        one that never fits, StorageUnavailable for one that waited in vain."""
        if self.budget_bytes and manifest.bytes > self.budget_bytes:
            raise InvalidGeneration(
                f"the model {name} takes {manifest.bytes} bytes,"
                f" more than its place of {self.budget_bytes}"
            )
        ends = time.monotonic() + self.room_seconds
        if await self.try_room(name, manifest):
            return
        self.waiting += 1
        try:
            while time.monotonic() < ends:
                await asyncio.sleep(ROOM_POLL_SECONDS)
                if await self.try_room(name, manifest):
                    return
        finally:
            self.waiting -= 1
        raise StorageUnavailable(f"no room for the model {name}: all others are in use")

    async def try_room(self, name: str, manifest: Manifest) -> bool:
        """Make room and mark it as taken, for nobody else to take it; whether there is room."""
        partial = self.folder / f"{PARTIAL}{name}"
        async with lock_file(self.folder / ROOM):
            await asyncio.to_thread(clear_remains, self.folder)
            if self.budget_bytes and not await self.make_room(partial, manifest.bytes):
                return False
            partial.mkdir(exist_ok=True)
            (partial / MARKER).write_text(manifest.model_dump_json())
        return True

    async def make_room(self, partial: Path, needed: int) -> bool:
        """Remove what was not used for longest, until so many bytes fit; whether they do.

        What is there of the model itself is among the needed.
        """
        held = {one: bytes_of(one) for one in self.fetched_folders() if one != partial}
        for folder in sorted(held, key=last_use):
            if sum(held.values()) + needed <= self.budget_bytes:
                return True
            if await self.remove(folder):
                del held[folder]
        return sum(held.values()) + needed <= self.budget_bytes

    def fetched_folders(self) -> list[Path]:
        """The models that were fetched, and those in part; others are somebody's own."""
        return [
            folder
            for folder in self.folder.iterdir()
            if folder.name.startswith(PARTIAL)
            or (not folder.name.startswith(".") and read_marker(folder) is not None)
        ]

    async def remove(self, folder: Path) -> bool:
        """Delete a model that nobody uses, out of the engine's memory first, or a part of one that
        nobody fetches; whether it is gone."""
        is_partial, name = folder.name.startswith(PARTIAL), folder.name.removeprefix(PARTIAL)
        try:
            with lock_now(self.folder / f"{LOCK if is_partial else USE}{name}"):
                if not is_partial:
                    await self.triton.unload_model(name)
                gone = move_away(folder)
        except (BlockingIOError, TritonError) as error:
            log.info("model_stays", model=folder.name, error=repr(error))
            return False
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


def read_marker(folder: Path) -> Manifest | None:
    """The manifest of a folder that was fetched; None where no marker of ours says so."""
    try:
        return Manifest.model_validate_json((folder / MARKER).read_bytes())
    except (OSError, ValidationError):
        return None


def bytes_of(folder: Path) -> int:
    """What a fetched model takes when it is whole, or what lies there if nothing says that."""
    manifest = read_marker(folder)
    if manifest is not None:
        return manifest.bytes
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def last_use(folder: Path) -> float:
    """When a fetched model was needed, or begun."""
    marker = folder / MARKER
    return (marker if marker.exists() else folder).stat().st_mtime
