"""From sign-up to a picture in the gallery, over HTTP, as a customer goes."""

import io
import json
import time
from typing import Any

import asyncpg
import httpx
from PIL import Image

from libs.credits.audit import CHECK
from tests.running_platform import REQUEST, Platform, User

CREDIT = 1_000
FREE_GRANT = 500 * CREDIT


def pixels(png: bytes) -> bytes:
    return Image.open(io.BytesIO(png)).convert("RGB").tobytes()


async def unbalanced_accounts(platform: Platform) -> list[Any]:
    connection = await asyncpg.connect(platform.database_url)
    try:
        return list(await connection.fetch(CHECK.text))
    finally:
        await connection.close()


async def test_sign_up_quote_generate_watch_and_find_the_picture(
    platform: Platform, user: User
) -> None:
    assert user.get("/api/v1/users/me")["email"] == user.email
    quote = user.http.post("/api/v1/generations/quote", json=REQUEST).json()
    assert (quote["price_millicredits"], quote["affordable"]) == (CREDIT, True)
    assert user.get("/api/v1/credits/balance")["available_millicredits"] == FREE_GRANT

    job = user.create(steps=12, seed=7)
    events = list(user.events(job))
    names = [name for name, _ in events]
    assert [n for n in dict.fromkeys(names) if n != "snapshot"] == [
        *("queued", "started", "progress", "image", "finished")
    ]
    steps = [data["step"] for name, data in events if name == "progress"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 12

    done = user.wait(job)
    assert (done["status"], done["captured_millicredits"]) == ("succeeded", CREDIT)
    (image,) = user.get("/api/v1/images")["items"]
    assert [image["id"]] == done["image_ids"]
    assert_is_the_picture(user.picture(image["id"]), done)

    balance = user.get("/api/v1/credits/balance")
    assert balance["available_millicredits"] == FREE_GRANT - CREDIT
    assert balance["held_millicredits"] == 0
    movements = user.get("/api/v1/credits/transactions")["items"]
    assert sorted(m["kind"] for m in movements if m["reference"] == job["id"]) == [
        *("capture", "hold")
    ]
    assert await unbalanced_accounts(platform) == []


def assert_is_the_picture(png: bytes, job: Any) -> None:
    """A PNG of the size asked for, with the parameters that make it again."""
    picture = Image.open(io.BytesIO(png))
    assert (picture.format, picture.size) == ("PNG", (64, 64))
    assert len(set(picture.convert("RGB").getdata())) > 16, "the picture is empty"
    parameters = json.loads(picture.info["parameters"])
    for name in ("prompt", "model", "seed", "steps", "width", "height", "scheduler"):
        assert parameters[name] == job["request"][name]


def test_the_same_seed_draws_the_same_pixels_and_another_seed_does_not(user: User) -> None:
    jobs = [user.create(steps=8, seed=seed) for seed in (11, 11, 12)]
    first, again, other = (
        user.picture(image) for job in jobs for image in user.wait(job)["image_ids"]
    )
    assert first == again
    assert pixels(first) != pixels(other)


def test_a_recalled_request_makes_the_picture_again(user: User) -> None:
    done = user.wait(user.create(steps=8))
    image_id = done["image_ids"][0]
    recalled = user.get(f"/api/v1/images/{image_id}/recall")
    again = user.http.post("/api/v1/generations", json=recalled)
    assert again.status_code == 202, again.text
    twin = user.wait(again.json())["image_ids"][0]
    assert pixels(user.picture(twin)) == pixels(user.picture(image_id))


def test_a_repeated_post_with_its_key_is_one_job_and_one_charge(user: User) -> None:
    headers = {"Idempotency-Key": "one-picture"}
    body = {**REQUEST, "steps": 4}
    first = user.http.post("/api/v1/generations", json=body, headers=headers)
    second = user.http.post("/api/v1/generations", json=body, headers=headers)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert first.json()["id"] == second.json()["id"]
    user.wait(first.json())
    assert len(user.get("/api/v1/generations")["items"]) == 1
    assert user.get("/api/v1/credits/balance")["total_millicredits"] == FREE_GRANT - CREDIT


def test_several_images_come_with_their_seeds(user: User) -> None:
    done = user.wait(user.create(steps=4, seed=100, num_images=3))
    seeds = sorted(user.get(f"/api/v1/images/{i}")["seed"] for i in done["image_ids"])
    assert seeds == [100, 101, 102]
    assert done["captured_millicredits"] == 3 * CREDIT


def test_a_cancelled_job_costs_at_most_its_steps(user: User) -> None:
    job = user.create(steps=150, num_images=8)
    for name, _ in user.events(job):
        if name == "progress":
            assert user.http.post(f"/api/v1/generations/{job['id']}/cancel").status_code == 200
            break
    done = user.wait(job)
    assert done["status"] == "cancelled"
    assert done["captured_millicredits"] < done["quoted_millicredits"]
    left = FREE_GRANT - done["captured_millicredits"]
    assert user.get("/api/v1/credits/balance")["available_millicredits"] == left


def test_a_picture_is_done_within_seconds(user: User) -> None:
    user.wait(user.create(steps=4))
    started = time.monotonic()
    done = user.wait(user.create(steps=20), seconds=60)
    assert done["status"] == "succeeded"
    assert time.monotonic() - started < 60


def test_events_resume_after_the_last_one_seen(user: User) -> None:
    job = user.create(steps=6)
    user.wait(job)
    path = f"/api/v1/generations/{job['id']}/events"
    lines = user.http.get(path).text.splitlines()
    ids = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
    assert len(ids) >= 4
    rest = user.http.get(path, headers={"Last-Event-ID": ids[1]}).text.splitlines()
    assert [line.removeprefix("id: ") for line in rest if line.startswith("id: ")] == ids[2:]


def test_a_shared_link_of_a_picture_ends_with_its_signature(user: User) -> None:
    image_id = user.wait(user.create(steps=4))["image_ids"][0]
    url = user.get(f"/api/v1/images/{image_id}")["url"]
    assert httpx.get(url).status_code == 200
    assert httpx.get(url.partition("?")[0]).status_code >= 400
    assert httpx.get(url[:-4] + "0000").status_code >= 400
