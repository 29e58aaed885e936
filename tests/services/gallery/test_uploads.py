"""Uploads on real PostgreSQL and S3: what the store takes, what becomes an image, and the room."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.storage.objects import ObjectStore
from services.gallery.service.uploads import MAX_UPLOADS, clear_abandoned
from tests.services.callers import Caller, named_fields, problem_of, walk
from tests.services.gallery.pictures import SVG, exif_with_place, opened, picture
from tests.services.gallery.worker import Worker

PATH = "/api/v1/images"
UPLOADS = f"{PATH}/uploads"
GIB = 2**30
SessionsOf = Callable[[str], Sessions]


async def begin(caller: Caller, data: bytes, **changes: Any) -> dict[str, Any]:
    body = {"content_type": "image/png", "bytes": len(data), **changes}
    answer = await caller.post(UPLOADS, body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{PATH}/{answer.json()['id']}"
    begun: dict[str, Any] = answer.json()
    return begun


async def send(begun: dict[str, Any], data: bytes, **headers: str) -> httpx.Response:
    target = begun["upload"]
    async with httpx.AsyncClient() as http:
        return await http.request(
            target["method"], target["url"], content=data, headers={**target["headers"], **headers}
        )


async def complete(caller: Caller, begun: dict[str, Any]) -> httpx.Response:
    return await caller.post(f"{PATH}/{begun['id']}/complete")


async def upload(caller: Caller, data: bytes, **changes: Any) -> httpx.Response:
    begun = await begin(caller, data, **changes)
    assert (await send(begun, data)).status_code == 200
    return await complete(caller, begun)


async def stored_keys(store: ObjectStore, user_id: UUID) -> list[str]:
    listed = store._client.list_objects_v2(Bucket=store.bucket, Prefix=f"{user_id}/")
    return [found["Key"] for found in listed.get("Contents", [])]


async def test_a_file_becomes_an_image_of_its_owner(ada: Caller, store: ObjectStore) -> None:
    data = picture("JPEG", (600, 300), exif=exif_with_place())
    answer = await upload(ada, data, content_type="image/jpeg")
    assert answer.status_code == 200, answer.text
    image = answer.json()
    assert (image["source"], image["format"]) == ("upload", "jpeg")
    assert (image["width"], image["height"]) == (600, 300)
    nothing = ("generation_id", "seed", "model")
    assert [image[name] for name in nothing] == [None, None, None]
    async with httpx.AsyncClient() as http:
        kept, thumbnail = await http.get(image["url"]), await http.get(image["thumbnail_url"])
    assert kept.headers["content-type"] == "image/jpeg"
    assert len(kept.content) == image["size_bytes"] and b"CameraOfAda" not in kept.content
    assert opened(thumbnail.content).size == (256, 128)
    (listed,) = await walk(ada, PATH, source="upload")
    assert listed["id"] == image["id"]
    assert await walk(ada, PATH, source="generation") == []
    keys = await stored_keys(store, ada.id)
    assert len(keys) == 2 and not [key for key in keys if "/uploads/" in key]


async def test_completing_again_answers_the_same_image(ada: Caller) -> None:
    data = picture()
    begun = await begin(ada, data)
    await send(begun, data)
    answers = await asyncio.gather(complete(ada, begun), complete(ada, begun))
    later = await complete(ada, begun)
    assert [answer.status_code for answer in (*answers, later)] == [200, 200, 200]
    assert {answer.json()["id"] for answer in (*answers, later)} == {begun["id"]}
    assert len(await walk(ada, PATH)) == 1


async def test_the_content_tells_what_it_is_not_the_name(ada: Caller) -> None:
    image = (await upload(ada, picture("WEBP"), content_type="image/png")).json()
    assert image["format"] == "webp"


async def test_an_idempotency_key_begins_one_upload(ada: Caller) -> None:
    body, key = {"content_type": "image/png", "bytes": 10}, {"Idempotency-Key": "upload-1"}
    first, second = await ada.post(UPLOADS, body, **key), await ada.post(UPLOADS, body, **key)
    assert first.json() == second.json()
    assert (await ada.get("/api/v1/storage")).json()["reserved_bytes"] == 10


async def test_the_store_takes_the_declared_type_and_length_alone(ada: Caller) -> None:
    data = picture()
    begun = await begin(ada, data)
    assert (await send(begun, data + b"x")).status_code == 403
    assert (await send(begun, data[:-1])).status_code == 403
    assert (await send(begun, data, **{"Content-Type": "text/html"})).status_code == 403
    assert problem_of(await complete(ada, begun)) == (409, "upload-not-finished")
    assert (await send(begun, data)).status_code == 200
    assert (await complete(ada, begun)).status_code == 200


async def test_only_the_file_with_the_declared_checksum_is_kept(ada: Caller) -> None:
    data = picture()
    checksum = hashlib.sha256(data).hexdigest()
    assert (await upload(ada, data, sha256=checksum)).status_code == 200
    begun = await begin(ada, data, sha256=checksum)
    assert (await send(begun, data, **{"x-amz-checksum-sha256": ""})).status_code == 403
    await send(begun, b"x" * len(data))  # S3 refuses it itself, the local endpoint does not
    answer = await complete(ada, begun)
    assert problem_of(answer) in [(422, "image-not-valid"), (409, "upload-not-finished")]


@pytest.mark.parametrize("data", [SVG, b"not a picture", picture()[:60]])
async def test_a_file_that_is_no_picture_leaves_nothing(
    ada: Caller, store: ObjectStore, data: bytes
) -> None:
    begun = await begin(ada, data)
    await send(begun, data)
    answer = await complete(ada, begun)
    assert problem_of(answer) == (422, "image-not-valid")
    assert answer.json()["detail"].startswith("The file is")
    assert problem_of(await complete(ada, begun)) == (404, "upload-not-found")
    assert await stored_keys(store, ada.id) == []
    assert (await ada.get("/api/v1/storage")).json()["reserved_bytes"] == 0


async def test_used_and_reserved_bytes_are_told(ada: Caller, eve: Caller, worker: Worker) -> None:
    made = worker.record(ada.id)
    await worker.keep(made)
    image = (await upload(ada, picture())).json()
    await begin(ada, b"x" * 1000)
    storage = (await ada.get("/api/v1/storage")).json()
    assert storage == {
        "used_bytes": made.size_bytes + image["size_bytes"],
        "reserved_bytes": 1000,
        "limit_bytes": GIB,
    }
    assert (await eve.get("/api/v1/storage")).json()["used_bytes"] == 0


async def test_a_full_plan_takes_no_more(ada: Caller, worker: Worker, store: ObjectStore) -> None:
    data = picture()
    await worker.keep(worker.record(ada.id, size_bytes=GIB - len(data)))
    begun = await begin(ada, data)
    refused = await ada.post(UPLOADS, {"content_type": "image/png", "bytes": 1})
    assert problem_of(refused) == (507, "storage-full")
    assert refused.json()["used_bytes"] == GIB - len(data)
    assert refused.json()["reserved_bytes"] == len(data)
    await send(begun, data)
    await worker.keep(worker.record(ada.id, size_bytes=1))  # a job finished meanwhile
    assert problem_of(await complete(ada, begun))[0] in (200, 507)
    keys = await stored_keys(store, ada.id)
    assert not [key for key in keys if begun["id"] in key]


async def test_uploads_at_once_do_not_pass_the_limit_together(ada: Caller, worker: Worker) -> None:
    await worker.keep(worker.record(ada.id, size_bytes=GIB - 5_000))
    body = {"content_type": "image/png", "bytes": 1_000}
    answers = await asyncio.gather(*(ada.post(UPLOADS, body) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [507] * 5


async def test_too_many_unfinished_uploads_are_refused(ada: Caller) -> None:
    for _ in range(MAX_UPLOADS):
        await begin(ada, b"x")
    refused = await ada.post(UPLOADS, {"content_type": "image/png", "bytes": 1})
    assert problem_of(refused) == (429, "too-many-uploads")
    assert 1_700 < int(refused.headers["retry-after"]) <= 1_800


EXPIRE = text(
    "UPDATE gallery.uploads SET expires_at = now() - CAST(CAST(:ago AS text) AS interval)"
)


async def test_what_was_not_finished_is_cleared_away(
    ada: Caller, eve: Caller, sessions: SessionsOf, store: ObjectStore
) -> None:
    data = picture()
    begun = await begin(ada, data)
    await send(begun, data)
    async with sessions("admin").begin() as session:
        await session.execute(EXPIRE, {"ago": "1 minute"})
    assert problem_of(await complete(ada, begun)) == (404, "upload-not-found")
    assert await clear_abandoned(sessions("gallery"), store) == 0  # a request may be at work
    async with sessions("admin").begin() as session:
        await session.execute(EXPIRE, {"ago": "11 minutes"})
    fresh = await begin(eve, data)
    assert await clear_abandoned(sessions("gallery"), store) == 1
    assert await stored_keys(store, ada.id) == []
    assert (await ada.get("/api/v1/storage")).json()["reserved_bytes"] == 0
    await send(fresh, data)
    assert (await complete(eve, fresh)).status_code == 200


async def test_no_tenant_sees_what_others_left(
    ada: Caller, eve: Caller, sessions: SessionsOf
) -> None:
    await begin(ada, b"x")
    async with sessions("admin").begin() as session:
        await session.execute(EXPIRE, {"ago": "1 day"})
    count = text("SELECT count(*) FROM gallery.uploads")
    async with transaction(sessions("gallery"), eve.id) as session:
        assert await session.scalar(count) == 0
    async with transaction(sessions("gallery")) as session:
        assert await session.scalar(count) == 1


async def test_other_peoples_uploads_do_not_exist(ada: Caller, eve: Caller) -> None:
    data = picture()
    begun = await begin(ada, data)
    await send(begun, data)
    for other in (begun["id"], str(uuid4())):
        answer = await eve.post(f"{PATH}/{other}/complete")
        assert problem_of(answer) == (404, "upload-not-found")
    assert (await complete(ada, begun)).status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"content_type": "image/svg+xml"}, "body.content_type"),
        ({"bytes": 0}, "body.bytes"),
        ({"bytes": 20 * 2**20 + 1}, "body.bytes"),
        ({"sha256": "A" * 64}, "body.sha256"),
        ({"name": "cat.png"}, "body.name"),
    ],
)
async def test_a_bad_announcement_is_named(ada: Caller, change: dict[str, Any], field: str) -> None:
    body = {"content_type": "image/png", "bytes": 1, **change}
    assert named_fields(await ada.post(UPLOADS, body)) == [field]


async def test_an_upload_cannot_be_recalled(ada: Caller) -> None:
    image = (await upload(ada, picture())).json()
    answer = await ada.get(f"{PATH}/{image['id']}/recall")
    assert problem_of(answer) == (409, "image-not-generated")


async def test_a_deleted_image_is_gone_with_its_files(
    ada: Caller, eve: Caller, store: ObjectStore
) -> None:
    image = (await upload(ada, picture())).json()
    board = (await ada.post("/api/v1/boards", {"name": "Fruit"})).json()
    await ada.put(f"/api/v1/boards/{board['id']}/images/{image['id']}")
    path = f"{PATH}/{image['id']}"
    assert problem_of(await eve.delete(path)) == (404, "image-not-found")
    assert (await ada.delete(path)).status_code == 204
    assert problem_of(await ada.get(path)) == (404, "image-not-found")
    assert problem_of(await ada.delete(path)) == (404, "image-not-found")
    assert await stored_keys(store, ada.id) == []
    assert (await ada.get(f"/api/v1/boards/{board['id']}")).json()["images"] == 0
    assert (await ada.get("/api/v1/storage")).json()["used_bytes"] == 0
