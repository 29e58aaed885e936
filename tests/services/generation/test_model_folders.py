"""Models come from object storage: whole, verified, once, and make room for one another."""

import asyncio
import os
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from libs.storage.objects import ObjectStore, StorageUnavailable
from libs.triton.errors import EngineBusy, InvalidGeneration
from services.generation.model_files import MANIFEST, ModelFile, key_of, publish_model
from services.generation.service.model_folders import PARTIAL, ModelFolders
from tests.faults.quick_engine import QuickEngine

WEIGHTS = os.urandom(3 * 2**20 + 1)
FILES = {"model_index.json": b"{}", "unet/weights.safetensors": WEIGHTS, "empty.txt": b""}
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def folders(tmp_path: Path, store: ObjectStore) -> ModelFolders:
    (tmp_path / "models").mkdir()
    return ModelFolders(store, tmp_path / "models", QuickEngine())


async def publish(folders: ModelFolders) -> str:
    """A model in the store; its name."""
    name, source = f"m{uuid4().hex}", folders.folder.parent / uuid4().hex
    for path, body in FILES.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(body)
    await publish_model(folders.store, source, name)
    return name


def files_in(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


async def test_a_model_appears_whole_and_once(folders: ModelFolders) -> None:
    name = await publish(folders)
    fetched = await asyncio.gather(*(folders.require(name) for _ in range(3)))
    assert fetched == [True] * 3
    assert files_in(folders.folder / name) == FILES
    assert not await folders.require(name)
    assert [path.name for path in folders.folder.iterdir() if path.is_dir()] == [name]


async def test_a_model_that_the_store_does_not_know_is_the_engines_to_refuse(
    folders: ModelFolders,
) -> None:
    assert not await folders.require("nobody-knows")
    (folders.folder / "own").mkdir()
    assert not await folders.require("own")


async def test_what_was_interrupted_goes_on_where_it_ended(folders: ModelFolders) -> None:
    name = await publish(folders)
    partial = folders.folder / f"{PARTIAL}{name}" / "unet" / "weights.safetensors"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(WEIGHTS[: 2**20])
    # were it read from its beginning, this would not be noticed
    await folders.store.put(
        key_of(name, "unet/weights.safetensors"),
        bytes(2**20) + WEIGHTS[2**20 :],
        content_type="application/octet-stream",
    )
    assert await folders.require(name)
    assert files_in(folders.folder / name) == FILES


async def test_a_damaged_file_is_never_taken_and_fetched_again(folders: ModelFolders) -> None:
    name = await publish(folders)
    partial = folders.folder / f"{PARTIAL}{name}" / "unet" / "weights.safetensors"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(2**20))
    with pytest.raises(StorageUnavailable, match="not as the manifest says"):
        await folders.require(name)
    assert not (folders.folder / name).exists()
    assert await folders.require(name)
    assert files_in(folders.folder / name) == FILES


async def test_whoever_waits_may_leave_and_the_model_comes(folders: ModelFolders) -> None:
    name = await publish(folders)
    waiting = asyncio.create_task(folders.require(name))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert await folders.require(name) or (folders.folder / name).is_dir()
    assert files_in(folders.folder / name) == FILES


async def test_the_model_that_was_not_used_for_longest_makes_room(folders: ModelFolders) -> None:
    folders.budget_bytes = 2 * SIZE
    (folders.folder / "own").mkdir()
    first, second, third = [await publish(folders) for _ in range(3)]
    for age, name in ((200, first), (100, second)):
        await folders.require(name)
        then = (folders.folder / name / MANIFEST).stat().st_mtime - age
        os.utime(folders.folder / name / MANIFEST, (then, then))
    assert not await folders.require(first)  # its last use
    await folders.require(third)
    left = {path.name for path in folders.folder.iterdir() if path.is_dir()}
    assert left == {"own", first, third}


async def test_what_is_in_use_stays(folders: ModelFolders) -> None:
    folders.budget_bytes = SIZE
    first, second = await publish(folders), await publish(folders)
    async with folders.using(first):
        with pytest.raises(StorageUnavailable, match="in use"):
            await folders.require(second)
    assert await folders.require(second)
    assert not (folders.folder / first).exists()


class SlowEngine(QuickEngine):
    """Takes its time to forget a model."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def unload_model(self, name: str) -> bool:
        self.asked.set()
        await self.may_answer.wait()
        return await super().unload_model(name)


async def test_who_comes_while_a_model_leaves_keeps_it(folders: ModelFolders) -> None:
    name = await publish(folders)
    await folders.require(name)
    engine = SlowEngine()
    slow = ModelFolders(folders.store, folders.folder, engine)
    leaving = asyncio.create_task(slow.remove(folders.folder / name))
    await engine.asked.wait()
    async with slow.using(name) as was_fetched:
        engine.may_answer.set()
        assert not await leaving
        assert not was_fetched
        assert files_in(folders.folder / name) == FILES


async def test_what_the_engine_draws_with_stays(folders: ModelFolders) -> None:
    class Busy(QuickEngine):
        async def unload_model(self, name: str) -> bool:
            raise EngineBusy("busy: 1 pictures use the model")

    folders.budget_bytes, folders.triton = SIZE, Busy()
    first, second = await publish(folders), await publish(folders)
    await folders.require(first)
    with pytest.raises(StorageUnavailable, match="in use"):
        await folders.require(second)
    assert files_in(folders.folder / first) == FILES


async def test_a_model_that_never_fits_is_refused(folders: ModelFolders) -> None:
    folders.budget_bytes = SIZE - 1
    with pytest.raises(InvalidGeneration, match=f"takes {SIZE} bytes"):
        await folders.require(await publish(folders))


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a//b", ".", "a\\b", "a\0b", "", "manifest.json"]
)
def test_no_file_leaves_its_folder(path: str) -> None:
    with pytest.raises(ValidationError):
        ModelFile(path=path, bytes=1, sha256="0" * 64)


async def test_a_broken_manifest_stops_nobody_for_good(folders: ModelFolders) -> None:
    name = f"m{uuid4().hex}"
    await folders.store.put(key_of(name, MANIFEST), b"{}", content_type="application/json")
    with pytest.raises(StorageUnavailable, match="manifest"):
        await folders.require(name)
