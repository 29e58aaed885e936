"""What the gallery hands out of a user to an export, and that nothing is left after an erasure."""

from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from libs.db.engine import Sessions
from libs.kernel.problems import ServiceUnavailable
from libs.privacy.owners import Owner
from libs.storage.objects import ObjectStore, StorageSettings, build_client
from libs.testkit.tokens import TokenIssuer
from services.gallery.repository.erasure import COLLECTIONS
from services.gallery.service.erasure import erase_user
from tests.services.callers import Caller, named_fields, problem_of, walk
from tests.services.gallery.worker import Worker
from tests.services.owners import exported, owner_of

SessionsOf = Callable[[str], Sessions]
IMAGES = "/api/v1/images"
BOARDS = "/api/v1/boards"


@pytest.fixture
def owner(api: httpx.AsyncClient, issuer: TokenIssuer) -> Owner:
    return owner_of(api, issuer, "gallery")


async def add_picture(caller: Caller, worker: Worker, store: ObjectStore, **changes: str) -> str:
    """An image whose objects are stored, on a board."""
    record = worker.record(caller.id, **changes)
    for key in (record.object_key, record.thumbnail_key):
        await store.put(key, b"pixels", content_type="image/png")
    await worker.keep(record)
    return str(record.id)


async def pin(caller: Caller, name: str, *images: str) -> str:
    """A board with these images."""
    board = (await caller.post(BOARDS, {"name": name})).json()["id"]
    for image in images:
        assert (await caller.put(f"{BOARDS}/{board}/images/{image}")).status_code == 204
    return str(board)


async def test_boards_and_images_are_exported_with_the_keys_of_their_files(
    ada: Caller, eve: Caller, worker: Worker, store: ObjectStore, owner: Owner
) -> None:
    image = await add_picture(ada, worker, store, prompt="a red apple")
    board = await pin(ada, "Fruit", image)
    await add_picture(eve, worker, store)
    found = await exported(owner, ada.id)
    assert [(row["id"], row["name"], row["images"]) for row in found["boards"]] == [
        (board, "Fruit", [image])
    ]
    assert [(row["id"], row["prompt"]) for row in found["images"]] == [(image, "a red apple")]
    assert found["images"][0]["manifest"] == {"build": "test"}
    pages = [page async for page in owner.export_pages(ada.id)]
    (file,) = [item.file for page in pages for item in page.items if item.file]
    assert file.name == f"{image}.png"
    assert await store.get(file.key) == b"pixels"


async def test_an_export_goes_on_after_the_last_row_that_was_read(
    ada: Caller, worker: Worker, owner: Owner
) -> None:
    images = [await worker.add(ada.id) for _ in range(450)]
    pages = [page async for page in owner.export_pages(ada.id)]
    assert [len(page.items) for page in pages] == [0, 0, 200, 200, 50]
    assert [item.data["id"] for page in pages for item in page.items] == sorted(images)


@pytest.mark.parametrize("cursor", ["", "images:1", "images:'", "jobs", "boards:x\0"])
async def test_a_strange_cursor_is_refused(
    ada: Caller, owner: Owner, api: httpx.AsyncClient, cursor: str
) -> None:
    headers = {"Authorization": f"Bearer {owner.tokens.token('gallery', ada.id)}"}
    path = f"/internal/v1/users/{ada.id}/export"
    answer = await api.get(path, params={"cursor": cursor}, headers=headers)
    if cursor:
        assert named_fields(answer) == ["query.cursor"]
    else:
        assert answer.json()["collection"] == COLLECTIONS[0].name


async def test_nothing_is_left_after_an_erasure_and_others_keep_theirs(
    ada: Caller,
    eve: Caller,
    worker: Worker,
    store: ObjectStore,
    storage_settings: StorageSettings,
    owner: Owner,
) -> None:
    image = await add_picture(ada, worker, store)
    await pin(ada, "Fruit", image)
    await store.put(f"{ada.id}/2026/11/nobody-knows.png", b"x", content_type="image/png")
    other = await add_picture(eve, worker, store)
    await pin(eve, "Hers", other)
    assert await owner.erase(ada.id) is None
    assert await owner.erase(ada.id) is None
    assert await exported(owner, ada.id) == {"boards": [], "uploads": [], "images": []}
    assert (await ada.get(f"{IMAGES}/{image}")).status_code == 404
    client = build_client(storage_settings, storage_settings.endpoint_url)
    listed = client.list_objects_v2(Bucket=store.bucket, Prefix=str(ada.id))
    assert listed.get("Contents", []) == []
    found = await exported(owner, eve.id)
    assert [row["images"] for row in found["boards"]] == [[other]]
    assert await store.get(found["images"][0]["object_key"]) == b"pixels"
    assert len(await walk(eve, IMAGES)) == 1


async def test_a_token_for_one_user_opens_no_other(
    ada: Caller, eve: Caller, owner: Owner, api: httpx.AsyncClient
) -> None:
    headers = {"Authorization": f"Bearer {owner.tokens.token('gallery', ada.id)}"}
    for method, path in (("GET", "/export"), ("DELETE", "")):
        url = f"/internal/v1/users/{eve.id}{path}"
        assert problem_of(await api.request(method, url, headers=headers)) == (403, "forbidden")


async def test_only_the_user_service_may_ask(
    ada: Caller, owner: Owner, api: httpx.AsyncClient
) -> None:
    url = f"/internal/v1/users/{ada.id}"
    elsewhere = {"Authorization": f"Bearer {owner.tokens.token('payment', ada.id)}"}
    for headers in ({}, ada.headers, elsewhere):
        assert problem_of(await api.delete(url, headers=headers)) == (401, "unauthorized")
        answer = await api.get(f"{url}/export", headers=headers)
        assert problem_of(answer) == (401, "unauthorized")


async def test_what_was_never_there_is_gone(owner: Owner) -> None:
    assert await owner.erase(uuid4()) is None


async def test_no_row_is_lost_before_its_objects(
    ada: Caller, worker: Worker, store: ObjectStore, owner: Owner, sessions: SessionsOf
) -> None:
    """While the store is away nothing is forgotten: who asks again finds the rows."""
    image = await add_picture(ada, worker, store)
    away = ObjectStore(StorageSettings("eu-west-1", "none", "http://127.0.0.1:9", None, "a", "b"))
    with pytest.raises(ServiceUnavailable):
        await erase_user(sessions("gallery"), away, ada.id)
    assert (await exported(owner, ada.id))["images"][0]["id"] == image
