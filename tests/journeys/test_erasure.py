"""Somebody takes everything along and leaves: export, deletion, and nothing is there any more."""

import asyncio
import io
import json
import zipfile
from typing import Any

import asyncpg
import httpx

from libs.credits.audit import CHECK
from tests.running_platform import Platform, User, wait_until

EXPORT = "/api/v1/users/me/export"


def ready_archive(user: User) -> Any:
    """The archive, when it lies ready."""
    assert user.http.post(EXPORT).status_code == 202
    wait_until(lambda: user.http.get(EXPORT).status_code == 200)
    archive = user.get(EXPORT)
    assert archive["state"] == "ready", archive
    return archive


def test_sign_up_make_a_picture_take_it_along_and_leave(platform: Platform, user: User) -> None:
    done = user.wait(user.create(steps=4, prompt="a red apple to take along"))
    (image_id,) = done["image_ids"]
    picture, picture_url = user.picture(image_id), user.get(f"/api/v1/images/{image_id}")["url"]
    archive = ready_archive(user)
    content = httpx.get(archive["url"])
    assert (content.status_code, len(content.content)) == (200, archive["size_bytes"])
    packed = zipfile.ZipFile(io.BytesIO(content.content))
    assert packed.testzip() is None
    assert packed.read(f"gallery/images/{image_id}.png") == picture
    (job,) = json.loads(packed.read("generation/jobs.json"))
    assert job["request"]["prompt"] == "a red apple to take along"
    (profile,) = json.loads(packed.read("account/profile.json"))
    assert profile["email"] == user.email

    answer = user.http.request("DELETE", "/api/v1/users/me", json={"confirm": user.email})
    assert answer.status_code == 202, answer.text
    credentials = {"email": user.email, "password": user.password}
    login = httpx.post(f"{platform.url}/api/v1/auth/login", json=credentials)
    assert login.status_code == 401
    for path in ("/api/v1/users/me", "/api/v1/images", "/api/v1/generations", EXPORT):
        wait_until(lambda path=path: user.http.get(path).status_code == 401, 10)  # type: ignore[misc]
    wait_until(lambda: httpx.get(picture_url).status_code == 404)
    wait_until(lambda: httpx.get(archive["url"]).status_code == 404)
    letters = platform.mailbox.texts(user.email)
    assert any(answer.json()["id"] in letter for letter in letters)


def test_deletion_ends_what_waits_and_runs(platform: Platform, user: User) -> None:
    jobs = [user.create(steps=150, num_images=4) for _ in range(2)]
    wait_until(lambda: user.job(jobs[0])["status"] == "running")
    answer = user.http.request("DELETE", "/api/v1/users/me", json={"confirm": user.email})
    assert answer.status_code == 202, answer.text
    other = platform.sign_up()
    assert other.wait(other.create(steps=4))["status"] == "succeeded"
    wait_until(lambda: erased(platform, answer.json()["id"]))


def erased(platform: Platform, erasure_id: str) -> bool:
    """Whether nothing is left but what the law wants kept, and the ledger adds up."""
    state, held, findings = asyncio.run(look(platform, erasure_id))
    assert findings == []
    return state == "erased" and held == 0


async def look(platform: Platform, erasure_id: str) -> tuple[str, int, list[Any]]:
    connection = await asyncpg.connect(platform.database_url)
    try:
        query = "SELECT state, user_id FROM identity.erasures WHERE id = $1"
        erasure = await connection.fetchrow(query, erasure_id)
        assert erasure is not None
        query = "SELECT count(*) FROM credits.holds WHERE user_id = $1"
        held = await connection.fetchval(query, erasure["user_id"])
        return erasure["state"], held, list(await connection.fetch(CHECK.text))
    finally:
        await connection.close()
