"""One archive of everything: what is in it, who may have it, how long, and what becomes of it."""

import io
import json
import tracemalloc
import zipfile
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.kernel.ids import new_id
from libs.storage.objects import ObjectStore, StorageSettings
from services.user.archive import FIRST_PART_BYTES, Archive
from services.user.exporting import LEASE, MAX_ATTEMPTS, delete_expired
from services.user.repository.exports import archive_prefix
from tests.erasure.account_worker import AccountWorker
from tests.erasure.life import TOKEN, Life
from tests.erasure.search import objects, objects_with
from tests.stack.people import api_key, bearer, new_person
from tests.stack.running import Stack

EXPORT = "/api/v1/users/me/export"
SIGNING_SECRETS = "SELECT secret FROM webhooks.secrets WHERE user_id = :id"
SECRET_LETTERS = "SELECT text FROM ops.emails WHERE user_id = :id AND holds_secret AND text <> ''"


def archive_of(life: Life) -> zipfile.ZipFile:
    """What the link of the newest archive downloads."""
    answer = httpx.get(life.call("user", "GET", EXPORT)["url"])
    assert answer.status_code == 200, answer.text
    return zipfile.ZipFile(io.BytesIO(answer.content))


def rows(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(archive.read(name))
    return found


@pytest.fixture(scope="module")
def ada(stack: Stack) -> Life:
    """Somebody with content everywhere."""
    life = Life(stack)
    life.fill()
    return life


def test_the_archive_holds_everything_and_nothing_of_others(
    stack: Stack, worker: AccountWorker, ada: Life
) -> None:
    asked = ada.call("user", "POST", EXPORT)
    assert (asked["state"], asked["url"]) == ("requested", None)
    assert ada.call("user", "POST", EXPORT)["id"] == asked["id"]
    waiting = stack.call("user", "GET", EXPORT, headers=ada.headers)
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (202, "5")
    worker.export_all()
    ready = ada.call("user", "GET", EXPORT)
    archive = archive_of(ada)
    assert (ready["id"], ready["state"]) == (asked["id"], "ready")
    assert archive.testzip() is None
    assert sum(entry.compress_size for entry in archive.infolist()) < ready["size_bytes"]
    assert b"Everything that Easel holds" in archive.read("README.txt")
    (profile,) = rows(archive, "account/profile.json")
    assert (profile["email"], profile["display_name"]) == (ada.email, f"Ada {ada.mark}")
    assert {row["user_agent"] for row in rows(archive, "account/logins.json")} >= {
        f"Browser {ada.mark}"
    }
    assert [row["name"] for row in rows(archive, "account/api_keys.json")] == [f"key {ada.mark}"]
    assert [row["provider"] for row in rows(archive, "account/sign_in_providers.json")] == [
        "google"
    ]
    assert rows(archive, "account/emails.json") and rows(archive, "account/audit_log.json")
    jobs = rows(archive, "generation/jobs.json")
    assert {job["request"]["prompt"] for job in jobs} == {f"a red apple {ada.mark}"}
    (board,) = rows(archive, "gallery/boards.json")
    assert (board["name"], len(board["images"])) == (f"board {ada.mark}", 1)
    assert [row["slug"] for row in rows(archive, "model/models.json")] == [ada.mark]
    assert rows(archive, "payment/invoices.json") and rows(archive, "payment/orders.json")
    assert rows(archive, "payment/subscriptions.json")[0]["user_email"] == ada.email
    assert rows(archive, "payment/credit_transfers.json")
    assert_has_pictures(archive)
    assert_has_no_secret(stack, ada, archive)


def assert_has_pictures(archive: zipfile.ZipFile) -> None:
    """The drawn and the uploaded one, each with what tells of it."""
    pictures = [name for name in archive.namelist() if name.endswith(".png")]
    assert len(pictures) == 2
    for name in pictures:
        assert archive.read(name).startswith(b"\x89PNG")
        (told,) = rows(archive, f"{name}.json")
        assert told["object_key"].endswith(name.rpartition("/")[2])


def assert_has_no_secret(stack: Stack, life: Life, archive: zipfile.ZipFile) -> None:
    """Neither what a login is proved by, nor anybody else's rows."""
    everything = b"".join(archive.read(name) for name in archive.namelist())
    ((hashed,),) = stack.sql("SELECT password_hash FROM identity.users WHERE id = :id", id=life.id)
    keys = stack.sql("SELECT key_hash FROM ops.api_keys WHERE user_id = :id", id=life.id)
    letters = stack.sql(SECRET_LETTERS, id=life.id)
    assert letters  # who has a login alone does not read the e-mails
    links = [TOKEN.search(letter) for (letter,) in letters]
    tokens = [link[1] for link in links if link]
    signs = [secret for (secret,) in stack.sql(SIGNING_SECRETS, id=life.id)]
    assert signs
    for secret in (hashed, *(row[0].hex() for row in keys), *tokens, *signs):
        assert secret.encode() not in everything
    others = stack.sql("SELECT id FROM identity.users WHERE id <> :id", id=life.id)
    assert [row for (row,) in others if str(row).encode() in everything] == []


def test_every_collection_that_the_readme_names_is_there(worker: AccountWorker, ada: Life) -> None:
    ada.call("user", "POST", EXPORT)
    worker.export_all()
    archive = archive_of(ada)
    readme = archive.read("README.txt").decode()
    names = {name.rpartition("/")[2] for name in archive.namelist() if "/images/" not in name}
    assert {name for name in names if name not in readme} == {"README.txt"}


def test_who_never_asked_has_none(stack: Stack) -> None:
    person = new_person(stack)
    answer = stack.call("user", "GET", EXPORT, headers=person.headers)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/export-not-found")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_api_key_gets_none(stack: Stack, method: str) -> None:
    key = api_key(new_person(stack), ["account:read"])
    answer = stack.call("user", method, EXPORT, headers=bearer(key.secret))
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/login-required")


def test_an_archive_is_deleted_after_seven_days(
    stack: Stack, worker: AccountWorker, storage_settings: StorageSettings
) -> None:
    life = Life(stack)
    life.sign_up()
    life.call("user", "POST", EXPORT)
    worker.export_all()
    url = life.call("user", "GET", EXPORT)["url"]
    stack.run(delete_expired(worker.desk))
    assert httpx.get(url).status_code == 200
    worker.later(days=7, minutes=1)
    stack.run(delete_expired(worker.desk))
    assert httpx.get(url).status_code == 404
    assert objects_with(storage_settings, archive_prefix(life.id)) == []
    assert stack.call("user", "GET", EXPORT, headers=life.headers).status_code == 404


def test_a_newer_archive_takes_the_place_of_the_one_before(
    stack: Stack, worker: AccountWorker, storage_settings: StorageSettings
) -> None:
    life = Life(stack)
    life.sign_up()
    for _ in range(3):
        export_id = life.call("user", "POST", EXPORT)["id"]
        worker.export_all()
        assert objects_with(storage_settings, archive_prefix(life.id)) == [
            f"{archive_prefix(life.id)}{export_id}.zip"
        ]
    assert life.call("user", "GET", EXPORT)["id"] == export_id


def test_what_a_dead_worker_left_is_made_anew(stack: Stack, worker: AccountWorker) -> None:
    life = Life(stack)
    life.sign_up()
    export_id = life.call("user", "POST", EXPORT)["id"]
    key = f"{archive_prefix(life.id)}{export_id}.zip"
    upload = stack.run(worker.desk.store.begin_upload(key, content_type="application/zip"))
    stack.run(worker.desk.store.put_part(key, upload, 1, b"half of it"))
    claimed = """
        UPDATE identity.exports SET state = 'making', attempts = 1, upload_id = :upload,
            next_try_at = now() + interval '2 minutes' WHERE id = :id
    """
    stack.sql(claimed, id=export_id, upload=upload)
    worker.export_all()
    assert life.call("user", "GET", EXPORT)["state"] == "making"
    worker.later(seconds=LEASE.total_seconds())
    worker.export_all()
    assert rows(archive_of(life), "account/profile.json")[0]["id"] == str(life.id)


def test_an_archive_that_can_not_be_made_fails_at_last(stack: Stack, worker: AccountWorker) -> None:
    life = Life(stack)
    life.sign_up()
    life.call("user", "POST", EXPORT)
    worker.desk.payment.base_url = "http://127.0.0.1:9"
    for _ in range(MAX_ATTEMPTS):
        worker.export_all()
        worker.later(minutes=5)
    failed = life.call("user", "GET", EXPORT)
    assert (failed["state"], failed["url"]) == ("failed", None)
    worker.desk.payment.base_url = stack.urls["payment"]
    assert life.call("user", "POST", EXPORT)["id"] != failed["id"]
    worker.export_all()
    assert life.call("user", "GET", EXPORT)["state"] == "ready"


def test_an_account_that_is_deleted_meanwhile_leaves_no_archive(
    stack: Stack, worker: AccountWorker, storage_settings: StorageSettings
) -> None:
    life = Life(stack)
    life.sign_up()
    for _ in range(2):
        life.call("user", "POST", EXPORT)
        worker.export_all()
    life.call("user", "POST", EXPORT)
    life.delete()
    worker.erase(life.id)
    worker.export_all()
    assert objects_with(storage_settings, archive_prefix(life.id)) == []
    assert stack.sql("SELECT id FROM identity.exports WHERE user_id = :id", id=life.id) == []


async def test_a_large_archive_is_sent_in_parts_and_is_never_all_in_memory(
    store: ObjectStore, storage_settings: StorageSettings
) -> None:
    key, body = f"archives/{uuid4()}.zip", new_id().bytes * (FIRST_PART_BYTES // 64)
    upload = await store.begin_upload(key, content_type="application/zip")
    archive = Archive(store, key, upload, datetime.now(UTC))
    tracemalloc.start()
    for number in range(48):
        await archive.add(f"{number}.bin", body, packed=False)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await archive.finish()
    assert archive.size_bytes > 11 * FIRST_PART_BYTES
    assert most < 6 * FIRST_PART_BYTES  # the part, what waits, and copies on the way
    (found,) = [content for name, content in objects(storage_settings) if name == key]
    assert len(found) == archive.size_bytes
    packed = zipfile.ZipFile(io.BytesIO(found))
    assert packed.testzip() is None
    assert packed.read("47.bin") == body
