"""Models in the store, and folders to fetch them into."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from libs.storage.objects import ObjectStore, StorageSettings, StorageUnavailable
from services.generation.model_files import MARKER, publish_model
from services.generation.service.model_folders import ModelFolders
from tests.faults.quick_engine import QuickEngine

WEIGHTS = os.urandom(3 * 2**20 + 1)
FILES = {"model_index.json": b"{}", "unet/weights.safetensors": WEIGHTS, "empty.txt": b""}
SIZE = sum(map(len, FILES.values()))


def folders_in(path: Path, store: ObjectStore) -> ModelFolders:
    """An empty folder, in which nobody waits for room."""
    (path / "models").mkdir()
    return ModelFolders(store, path / "models", QuickEngine(), room_seconds=0)


def another(folders: ModelFolders, store: ObjectStore | None = None) -> ModelFolders:
    """Those of another process that shares the folder."""
    return replace(folders, store=store or folders.store, fetching={})


async def publish(folders: ModelFolders, files: dict[str, bytes] = FILES) -> str:
    """A model in the store; its name."""
    name, source = f"m{uuid4().hex}", folders.folder.parent / uuid4().hex
    for path, body in files.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(body)
    await publish_model(folders.store, source, name)
    return name


def files_in(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for the worker's marker."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != MARKER]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


class SlowStore(ObjectStore):
    """Gives no file before it may."""

    def __init__(self, settings: StorageSettings) -> None:
        super().__init__(settings)
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def download(self, key: str, file: Path) -> None:
        self.asked.set()
        await self.may_answer.wait()
        await super().download(key, file)


class BrokenStore(ObjectStore):
    """Gives a byte of a file."""

    async def download(self, key: str, file: Path) -> None:
        await asyncio.to_thread(file.write_bytes, b"{")
        raise StorageUnavailable(f"download {key}")
