"""Images: the worker's door, reading by signed URLs, filters, stars, recall, tenants."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.exc import DBAPIError

from libs.db.transaction import transaction
from services.gallery.client.images import record_image
from tests.services.callers import Caller, named_fields, problem_of, walk
from tests.services.gallery.worker import NOON, REQUEST, Worker

PATH = "/api/v1/images"
NOT_FOUND = (404, "image-not-found")


async def ids(caller: Caller, **query: Any) -> list[str]:
    return [image["id"] for image in await walk(caller, PATH, **query)]


async def test_a_finished_image_is_in_its_owners_gallery(ada: Caller, worker: Worker) -> None:
    record = worker.record(ada.id)
    await worker.keep(record)
    image = (await ada.get(f"{PATH}/{record.id}")).json()
    assert image["generation_id"] == str(record.job_id)
    same = ("format", "width", "height", "size_bytes", "seed", "model", "prompt", "parameters")
    assert {name: image[name] for name in same} == {name: getattr(record, name) for name in same}
    assert image["starred"] is False and datetime.fromisoformat(image["created_at"]) == NOON
    (listed,) = await walk(ada, PATH)
    assert listed["id"] == image["id"]


async def test_a_repeat_of_the_worker_doubles_nothing(ada: Caller, worker: Worker) -> None:
    record = worker.record(ada.id)
    await worker.keep(record)
    await ada.patch(f"{PATH}/{record.id}", {"starred": True})
    await worker.keep(record)
    (image,) = await walk(ada, PATH)
    assert image["starred"] is True


@pytest.mark.parametrize("tenant", ["another", "nobody"])
async def test_the_worker_records_for_the_transactions_tenant_alone(
    ada: Caller, worker: Worker, tenant: str
) -> None:
    user_id = uuid4() if tenant == "another" else None
    with pytest.raises(DBAPIError, match="row-level security"):
        async with transaction(worker.sessions, user_id) as session:
            await record_image(session, worker.record(ada.id))
    assert await ids(ada) == []


async def test_signed_urls_read_picture_and_thumbnail_for_a_quarter_of_an_hour(
    ada: Caller, worker: Worker
) -> None:
    record = worker.record(ada.id)
    await worker.store.put(record.object_key, b"png", content_type="image/png")
    await worker.store.put(record.thumbnail_key, b"webp", content_type="image/webp")
    await worker.keep(record)
    image = (await ada.get(f"{PATH}/{record.id}")).json()
    left = datetime.fromisoformat(image["urls_expire_at"]) - datetime.now(UTC)
    assert timedelta(minutes=14, seconds=30) < left <= timedelta(minutes=15)
    async with httpx.AsyncClient() as http:
        picture, thumbnail = await http.get(image["url"]), await http.get(image["thumbnail_url"])
        unsigned = await http.get(image["url"].split("?")[0])
        stretched = await http.get(image["url"].replace("Expires=900", "Expires=90000"))
    assert (picture.content, picture.headers["content-type"]) == (b"png", "image/png")
    assert thumbnail.content == b"webp"
    for refused in (unsigned, stretched):
        assert refused.is_client_error and b"png" not in refused.content


async def test_recall_is_the_request_that_makes_it_again(ada: Caller, worker: Worker) -> None:
    image_id = await worker.add(ada.id, prompt="a blue fish")
    recalled = (await ada.get(f"{PATH}/{image_id}/recall")).json()
    assert recalled == {**REQUEST, "prompt": "a blue fish"}


async def test_a_star_can_be_set_and_taken(ada: Caller, worker: Worker) -> None:
    image_id = await worker.add(ada.id)
    for starred in (True, True, False):
        changed = (await ada.patch(f"{PATH}/{image_id}", {"starred": starred})).json()
        assert changed["starred"] is starred
        assert (await ada.get(f"{PATH}/{image_id}")).json()["starred"] is starred


async def test_filters_narrow_and_combine(ada: Caller, worker: Worker) -> None:
    apple = await worker.add(ada.id, prompt="a red Apple on a table")
    fish = await worker.add(ada.id, prompt="a blue fish", model="sdxl-base")
    later = NOON + timedelta(days=1)
    tree = await worker.add(ada.id, prompt="an apple tree", created_at=later)
    await ada.patch(f"{PATH}/{fish}", {"starred": True})
    assert await ids(ada) == [tree, fish, apple]
    assert await ids(ada, q="apple") == [tree, apple]
    assert await ids(ada, q='"red apple"') == [apple]
    assert await ids(ada, q="apple -tree") == [apple]
    assert await ids(ada, q="fish or table") == [fish, apple]
    assert await ids(ada, q="%'\"(") == []
    assert await ids(ada, model="sdxl-base") == [fish]
    assert await ids(ada, starred="true") == [fish]
    assert await ids(ada, starred="false") == [tree, apple]
    assert await ids(ada, **{"from": later.isoformat()}) == [tree]
    assert await ids(ada, to=later.isoformat()) == [fish, apple]
    assert await ids(ada, q="apple", to=later.isoformat()) == [apple]


async def test_pages_follow_each_other_newest_first(ada: Caller, worker: Worker) -> None:
    made = [await worker.add(ada.id) for _ in range(5)]
    assert await ids(ada, limit=2) == made[::-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("cursor", "nonsense!"),
        ("board_id", "1"),
        ("starred", "perhaps"),
        ("from", "2026-11-01T12:00:00"),
        ("to", "0001-01-01T00:00:00+14:00"),
        ("q", "a\u0000b"),
        ("q", "x" * 201),
        ("model", "a\u0000b"),
    ],
)
async def test_a_bad_query_is_named(ada: Caller, name: str, value: str) -> None:
    assert named_fields(await ada.get(PATH, **{name: value})) == [f"query.{name}"]


async def test_a_bad_change_is_named(ada: Caller, worker: Worker) -> None:
    image = f"{PATH}/{await worker.add(ada.id)}"
    assert named_fields(await ada.patch(image, {"starred": "maybe"})) == ["body.starred"]
    assert named_fields(await ada.patch(image, {"starred": True, "seed": 1})) == ["body.seed"]
    assert named_fields(await ada.get(f"{PATH}/apple")) == ["path.image_id"]


async def test_other_peoples_images_do_not_exist(ada: Caller, eve: Caller, worker: Worker) -> None:
    image_id = await worker.add(ada.id)
    assert await ids(eve) == []
    for other in (image_id, str(uuid4())):
        assert problem_of(await eve.get(f"{PATH}/{other}")) == NOT_FOUND
        assert problem_of(await eve.get(f"{PATH}/{other}/recall")) == NOT_FOUND
        assert problem_of(await eve.patch(f"{PATH}/{other}", {"starred": True})) == NOT_FOUND
    assert (await ada.get(f"{PATH}/{image_id}")).json()["starred"] is False


async def test_without_a_token_nothing_is_answered(api: httpx.AsyncClient) -> None:
    for path in (PATH, f"{PATH}/{uuid4()}", f"{PATH}/{uuid4()}/recall"):
        assert problem_of(await api.get(path)) == (401, "unauthorized")


async def test_the_largest_seed_is_kept(ada: Caller, worker: Worker) -> None:
    image_id = await worker.add(ada.id, seed=2**32 - 1)
    assert (await ada.get(f"{PATH}/{image_id}")).json()["seed"] == 2**32 - 1
