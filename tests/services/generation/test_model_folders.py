"""Models come from object storage: whole, verified, once."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from libs.storage.objects import ObjectStore, StorageUnavailable
from services.generation.model_files import MANIFEST, MARKER, ModelFile, key_of, publish_model
from services.generation.service.model_folders import PARTIAL, ModelFolders
from tests.services.generation.published_models import FILES, WEIGHTS, files_in, folders_in, publish


@pytest.fixture
def folders(tmp_path: Path, store: ObjectStore) -> ModelFolders:
    return folders_in(tmp_path, store)


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


async def test_what_was_fetched_can_be_published(folders: ModelFolders) -> None:
    name = await publish(folders)
    manifest = await folders.read_manifest(name)
    await folders.require(name)
    assert await publish_model(folders.store, folders.folder / name, f"{name}-2") == manifest


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a//b", ".", "a\\b", "a\0b", "", MANIFEST, MARKER]
)
def test_no_file_leaves_its_folder(path: str) -> None:
    with pytest.raises(ValidationError):
        ModelFile(path=path, bytes=1, sha256="0" * 64)


async def test_a_broken_manifest_stops_nobody_for_good(folders: ModelFolders) -> None:
    name = f"m{uuid4().hex}"
    await folders.store.put(key_of(name, MANIFEST), b"{}", content_type="application/json")
    with pytest.raises(StorageUnavailable, match="manifest"):
        await folders.require(name)
