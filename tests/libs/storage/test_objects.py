import httpx
import pytest

from libs.storage.objects import ObjectStore, StorageSettings, StorageUnavailable


async def test_what_was_put_is_what_is_got(store: ObjectStore) -> None:
    await store.put("a/b.png", b"first", content_type="image/png")
    await store.put("a/b.png", b"second", content_type="image/png")
    assert await store.get("a/b.png") == b"second"


async def test_a_presigned_url_opens_one_object_and_no_other(store: ObjectStore) -> None:
    await store.put("a/mine.png", b"picture", content_type="image/png")
    await store.put("a/other.png", b"secret", content_type="image/png")
    url = store.presign_get("a/mine.png", lifetime_seconds=60)
    async with httpx.AsyncClient() as http:
        answer = await http.get(url)
        assert (answer.status_code, answer.content) == (200, b"picture")
        assert (await http.get(url.replace("mine", "other"))).status_code == 403
        assert (await http.get(url.split("?")[0])).is_client_error


async def test_a_store_that_is_away_is_said_to_be_away() -> None:
    away = ObjectStore(StorageSettings("eu-west-1", "none", "http://127.0.0.1:9", None, "a", "b"))
    with pytest.raises(StorageUnavailable):
        await away.put("key", b"", content_type="text/plain")
    with pytest.raises(StorageUnavailable):
        await away.check()
