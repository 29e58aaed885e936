"""Fetched models make room for one another, whoever shares their folder."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from libs.storage.objects import ObjectStore, StorageSettings, StorageUnavailable
from libs.triton.errors import EngineBusy, InvalidGeneration
from services.generation.model_files import MANIFEST, MARKER, make_manifest
from services.generation.service.folder_locks import lock_now
from services.generation.service.model_folders import LOCK, PARTIAL, ModelFolders
from tests.faults.quick_engine import QuickEngine
from tests.services.generation.published_models import (
    FILES,
    SIZE,
    WEIGHTS,
    BrokenStore,
    SlowStore,
    another,
    files_in,
    folders_in,
    publish,
)
from tests.services.generation.queue_of_jobs import Queue
from tests.services.generation.test_broken_engines import worker_with


@pytest.fixture
def folders(tmp_path: Path, store: ObjectStore) -> ModelFolders:
    return folders_in(tmp_path, store)


async def test_the_model_that_was_not_used_for_longest_makes_room(folders: ModelFolders) -> None:
    folders.budget_bytes = 2 * SIZE
    (folders.folder / "own").mkdir()
    first, second, third = [await publish(folders) for _ in range(3)]
    for age, name in ((200, first), (100, second)):
        await folders.require(name)
        then = (folders.folder / name / MARKER).stat().st_mtime - age
        os.utime(folders.folder / name / MARKER, (then, then))
    assert not await folders.require(first)  # its last use
    await folders.require(third)
    left = {path.name for path in folders.folder.iterdir() if path.is_dir()}
    assert left == {"own", first, third}


@pytest.mark.parametrize("is_shared", [False, True])
async def test_what_is_in_use_stays(folders: ModelFolders, is_shared: bool) -> None:
    folders.budget_bytes = SIZE
    others = another(folders) if is_shared else folders
    first, second = await publish(folders), await publish(folders)
    async with folders.using(first):
        with pytest.raises(StorageUnavailable, match="in use"):
            await others.require(second)
        assert not others.waits_for_room
        assert files_in(folders.folder / first) == FILES
    assert await others.require(second)
    assert not (folders.folder / first).exists()


async def test_fetches_side_by_side_share_the_room(
    folders: ModelFolders, storage_settings: StorageSettings
) -> None:
    folders.budget_bytes, slow = SIZE, SlowStore(storage_settings)
    first, second = await publish(folders), await publish(folders)
    coming = asyncio.create_task(another(folders, slow).require(first))
    await slow.asked.wait()
    with pytest.raises(StorageUnavailable, match="in use"):
        await folders.require(second)
    slow.may_answer.set()
    assert await coming
    assert await folders.require(second)
    assert not (folders.folder / first).exists()


@pytest.mark.parametrize("is_marked", [False, True])
async def test_what_was_left_unfinished_makes_room_unless_it_is_wanted(
    folders: ModelFolders, storage_settings: StorageSettings, is_marked: bool
) -> None:
    folders.budget_bytes = SIZE
    first, second = await publish(folders), await publish(folders)
    partial = folders.folder / f"{PARTIAL}{first}"
    for name in (first, first, second, first):  # it goes on, it leaves, it comes again
        with pytest.raises(StorageUnavailable, match="download"):
            await another(folders, BrokenStore(storage_settings)).require(name)
        assert partial.exists() == (name == first)
    if not is_marked:
        (partial / MARKER).write_bytes(b"")
    with (
        lock_now(folders.folder / f"{LOCK}{first}"),
        pytest.raises(StorageUnavailable, match="room"),
    ):
        await folders.require(second)
    assert await folders.require(second)
    assert not partial.exists()


@pytest.mark.parametrize(
    ("file", "is_broken"), [(MANIFEST, False), (MANIFEST, True), (MARKER, True)]
)
async def test_what_was_not_fetched_stays(
    folders: ModelFolders, file: str, is_broken: bool
) -> None:
    folders.budget_bytes, own = SIZE, folders.folder / "own"
    first, second = await publish(folders), await publish(folders)
    await folders.require(first)
    own.mkdir()
    manifest = make_manifest(folders.folder / first).model_dump_json()
    (own / file).write_text("{}" if is_broken else manifest)
    os.utime(own / file, (0, 0))
    assert await folders.require(second)
    assert own.exists()
    assert not (folders.folder / first).exists()


async def test_who_waits_for_room_gets_it_since_nothing_new_begins(
    folders: ModelFolders, storage_settings: StorageSettings, queue: Queue, redis: Redis
) -> None:
    folders.budget_bytes, slow = SIZE, SlowStore(storage_settings)
    first, second = await publish(folders), await publish(folders)
    worker = replace(worker_with(QuickEngine(), queue, redis, slow), models=folders)
    async with folders.using(first):
        folders.store, folders.room_seconds = slow, 30
        coming = asyncio.create_task(folders.require(second))
        while not folders.waits_for_room:
            assert await worker.is_ready() and not coming.done()
            await asyncio.sleep(0.01)
        assert not await worker.is_ready()
        assert files_in(folders.folder / first) == FILES
    await asyncio.wait_for(slow.asked.wait(), 20)
    assert await worker.is_ready()
    slow.may_answer.set()
    assert await coming
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


async def files_while_used(folders: ModelFolders, name: str) -> tuple[bool, dict[str, bytes]]:
    async with folders.using(name) as was_fetched:
        return was_fetched, files_in(folders.folder / name)


async def test_who_comes_while_a_model_leaves_has_it_again(folders: ModelFolders) -> None:
    name = await publish(folders)
    await folders.require(name)
    engine = SlowEngine()
    leaving = asyncio.create_task(replace(folders, triton=engine).remove(folders.folder / name))
    await engine.asked.wait()
    coming = asyncio.create_task(files_while_used(folders, name))
    await asyncio.sleep(0)
    engine.may_answer.set()
    assert await leaving
    assert await coming == (True, FILES)


async def test_nobody_takes_the_room_that_another_makes(folders: ModelFolders) -> None:
    folders.budget_bytes, folders.room_seconds = 2 * SIZE, 30
    for _ in range(2):
        await folders.require(await publish(folders))
    large, small = await publish(folders, {**FILES, "more": WEIGHTS}), await publish(folders)
    engine = SlowEngine()
    making = asyncio.create_task(replace(another(folders), triton=engine).require(large))
    await engine.asked.wait()
    coming = asyncio.create_task(folders.require(small))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(coming), 0.2)
    engine.may_answer.set()
    assert await making
    assert await coming


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
