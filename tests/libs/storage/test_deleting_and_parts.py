"""Objects that go by their prefix, and objects that are put in parts."""

from collections.abc import Callable

import pytest

from libs.storage.objects import ObjectStore, StorageSettings, StorageUnavailable, build_client

PART = 5 * 2**20
Keys = Callable[[str], list[str]]


@pytest.fixture
def keys(storage_settings: StorageSettings) -> Keys:
    """The keys below a prefix, as the endpoint lists them."""
    client = build_client(storage_settings, storage_settings.endpoint_url)

    def list_keys(prefix: str) -> list[str]:
        listed = client.list_objects_v2(Bucket=storage_settings.bucket, Prefix=prefix)
        return sorted(found["Key"] for found in listed.get("Contents", []))

    return list_keys


async def put(store: ObjectStore, *keys: str) -> None:
    for key in keys:
        await store.put(key, b"x", content_type="text/plain")


async def test_what_begins_so_is_deleted_and_nothing_else(store: ObjectStore, keys: Keys) -> None:
    await put(store, "ada/2026/a.png", "ada/2026/11/b.png", "ada2/c.png", "eve/ada/d.png")
    assert await store.delete_below("ada/", pages=2)
    assert keys("ada") == ["ada2/c.png"]
    assert keys("eve/") == ["eve/ada/d.png"]
    assert await store.delete_below("ada/", pages=1)


async def test_a_full_round_says_that_it_must_look_again(store: ObjectStore, keys: Keys) -> None:
    await put(store, "many/1")
    assert not await store.delete_below("many/", pages=1)
    assert keys("many/") == []
    assert await store.delete_below("many/", pages=1)


async def test_everything_is_not_a_prefix(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="everything"):
        await store.delete_below("", pages=1)


async def test_parts_become_one_object_when_they_are_finished(
    store: ObjectStore, keys: Keys
) -> None:
    upload = await store.begin_upload("parts/whole", content_type="application/zip")
    tags = [await store.put_part("parts/whole", upload, 1, b"a" * PART)]
    tags.append(await store.put_part("parts/whole", upload, 2, b"b"))
    assert keys("parts/") == []
    await store.finish_upload("parts/whole", upload, tags)
    assert await store.get("parts/whole") == b"a" * PART + b"b"
    await store.abort_upload("parts/whole", upload)  # over: nothing to let go of
    assert keys("parts/") == ["parts/whole"]


async def test_an_aborted_upload_can_not_be_finished(store: ObjectStore, keys: Keys) -> None:
    upload = await store.begin_upload("aborted/whole", content_type="application/zip")
    tag = await store.put_part("aborted/whole", upload, 1, b"a")
    await store.abort_upload("aborted/whole", upload)
    await store.abort_upload("aborted/whole", upload)
    with pytest.raises(StorageUnavailable):
        await store.finish_upload("aborted/whole", upload, [tag])
    assert keys("aborted/") == []


async def test_a_store_that_is_away_is_said_to_be_away() -> None:
    away = ObjectStore(StorageSettings("eu-west-1", "none", "http://127.0.0.1:9", None, "a", "b"))
    with pytest.raises(StorageUnavailable):
        await away.delete_below("a/", pages=1)
    with pytest.raises(StorageUnavailable):
        await away.begin_upload("a", content_type="text/plain")
    with pytest.raises(StorageUnavailable):
        await away.abort_upload("a", "b")
