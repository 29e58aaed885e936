"""What each task begins with: the fields that go together, the size, the price."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.kernel.ids import new_id
from libs.testkit.tokens import TokenIssuer
from services.gallery.client.images import ImageRecord, find_object_keys, record_image
from tests.services.callers import Caller, named_fields, new_caller

SessionsOf = Callable[[str], Sessions]
PATH = "/api/v1/generations"
QUOTE = f"{PATH}/quote"
ASK = {"model": "demo", "prompt": "a red apple"}


async def give_image(sessions: SessionsOf, user_id: UUID, width: int, height: int) -> str:
    """An image in the user's gallery, as a worker enters it."""
    image_id = new_id()
    record = ImageRecord(
        id=image_id,
        user_id=user_id,
        job_id=uuid4(),
        object_key=f"{user_id}/2026/11/{image_id}.png",
        thumbnail_key=f"{user_id}/2026/11/{image_id}.thumb.webp",
        format="png",
        width=width,
        height=height,
        size_bytes=1,
        seed=1,
        model="demo",
        prompt="",
        negative_prompt="",
        parameters={},
        manifest={},
        created_at=utc_now(),
    )
    async with transaction(sessions("worker"), user_id) as session:
        await record_image(session, record)
    return str(image_id)


@pytest.fixture
async def image(ada: Caller, sessions: SessionsOf) -> str:
    """96x64 pixels."""
    return await give_image(sessions, ada.id, 96, 64)


async def price_of(caller: Caller, **changes: Any) -> dict[str, Any]:
    answer = await caller.post(QUOTE, {**ASK, **changes})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["price"])


async def refused_fields(caller: Caller, **changes: Any) -> list[str]:
    for path in (PATH, QUOTE):
        answer = await caller.post(path, {**ASK, **changes})
        assert answer.status_code == 422, answer.text
    return named_fields(answer)


async def test_a_picture_from_an_image_has_its_size_and_costs_the_steps_that_are_run(
    ada: Caller, image: str
) -> None:
    price = await price_of(ada, task="img2img", init_image_id=image, steps=20, strength=0.5)
    assert (price["pixels"], price["steps"]) == (96 * 64, 10)
    price = await price_of(ada, task="img2img", init_image_id=image, width=64, height=128)
    assert (price["pixels"], price["steps"]) == (64 * 128, 14)


async def test_a_job_keeps_what_it_begins_with(
    ada: Caller, image: str, sessions: SessionsOf
) -> None:
    mask = await give_image(sessions, ada.id, 96, 64)
    asked = {"task": "inpaint", "init_image_id": image, "mask_image_id": mask, "clip_skip": 1}
    answer = await ada.post(PATH, {**ASK, **asked, "tiling": True})
    assert answer.status_code == 202, answer.text
    kept = answer.json()["request"]
    assert {name: kept[name] for name in asked} == asked
    assert (kept["width"], kept["height"], kept["strength"], kept["tiling"]) == (96, 64, 1.0, True)


async def test_outpainting_grows_the_image(ada: Caller, image: str) -> None:
    expand = {"left": 32, "bottom": 64}
    price = await price_of(ada, task="outpaint", init_image_id=image, expand=expand)
    assert price["pixels"] == (96 + 32) * (64 + 64)
    same = {"width": 128, "height": 128}
    assert await price_of(ada, task="outpaint", init_image_id=image, expand=expand, **same) == price
    other = {"task": "outpaint", "init_image_id": image, "expand": expand, "width": 136}
    assert await refused_fields(ada, **other) == ["body.width"]


async def test_an_upscale_costs_by_its_pixels(ada: Caller, image: str) -> None:
    price = await price_of(ada, task="upscale", init_image_id=image, num_images=2)
    assert price["pixels"] == 192 * 128
    assert price["megapixel_millicredits"] == 2000
    assert [part["name"] for part in price["parts"]] == ["pixels", "addons", "minimum"]
    assert price["parts"][0]["millicredits"] == 99  # 2 images x 0.024576 megapixels, rounded up
    assert price["total_millicredits"] == 2000  # the minimum


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"init_image_id": "image"}, ["body.init_image_id"]),
        ({"strength": 0.5, "factor": 2}, ["body.strength", "body.factor"]),
        ({"task": "img2img"}, ["body.init_image_id"]),
        ({"task": "inpaint", "init_image_id": "image"}, ["body.mask_image_id"]),
        ({"task": "outpaint", "init_image_id": "image"}, ["body.expand"]),
        ({"task": "outpaint", "init_image_id": "image", "expand": {}}, ["body.expand"]),
        (
            {"task": "outpaint", "init_image_id": "image", "expand": {"top": 12}},
            ["body.expand.top"],
        ),
        ({"task": "img2img", "init_image_id": "image", "factor": 2}, ["body.factor"]),
        ({"task": "upscale", "init_image_id": "image", "factor": 5}, ["body.factor"]),
        ({"task": "upscale", "init_image_id": "image", "factor": 4}, ["body.width"]),
        ({"task": "img2img", "init_image_id": "image", "strength": 0}, ["body.strength"]),
        (
            {"task": "img2img", "init_image_id": "image", "strength": 0.01},
            ["body.strength"],
        ),
        ({"task": "img2img", "init_image_id": str(uuid4())}, ["body.init_image_id"]),
        ({"clip_skip": 5}, ["body.clip_skip"]),
        ({"task": "dream"}, ["body.task"]),
    ],
)
async def test_what_does_not_go_together_is_named(
    ada: Caller, image: str, changes: dict[str, Any], fields: list[str]
) -> None:
    asked = {name: image if value == "image" else value for name, value in changes.items()}
    assert await refused_fields(ada, **asked) == fields


async def test_a_mask_of_another_size_is_refused(
    ada: Caller, image: str, sessions: SessionsOf
) -> None:
    mask = await give_image(sessions, ada.id, 64, 64)
    asked = {"task": "inpaint", "init_image_id": image, "mask_image_id": mask}
    assert await refused_fields(ada, **asked) == ["body.mask_image_id"]


async def test_an_image_whose_sides_do_not_fit_needs_a_size(
    ada: Caller, sessions: SessionsOf
) -> None:
    odd = await give_image(sessions, ada.id, 100, 64)
    asked: dict[str, Any] = {"task": "img2img", "init_image_id": odd}
    assert await refused_fields(ada, **asked) == ["body.width"]
    assert (await price_of(ada, **asked, width=96))["pixels"] == 96 * 64
    assert await refused_fields(ada, task="outpaint", init_image_id=odd, expand={"left": 8}) == [
        "body.init_image_id"
    ]


async def test_a_repeat_is_answered_as_before_though_its_image_be_gone(
    ada: Caller, image: str, sessions: SessionsOf
) -> None:
    asked = {**ASK, "task": "img2img", "init_image_id": image}
    key = {"Idempotency-Key": "once"}
    first = await ada.post(PATH, asked, **key)
    assert first.status_code == 202
    async with sessions("admin").begin() as session:
        await session.execute(text("DELETE FROM gallery.images WHERE id = :id"), {"id": image})
    again = await ada.post(PATH, asked, **key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert (await ada.post(PATH, asked)).status_code == 422
    other = await ada.post(PATH, {**asked, "seed": 8}, **key)
    assert other.json()["type"] == "/problems/idempotency-key-reused"


async def test_other_peoples_images_are_not_there(
    ada: Caller, image: str, api: httpx.AsyncClient, issuer: TokenIssuer, sessions: SessionsOf
) -> None:
    eve = new_caller(api, issuer)
    asked = {"task": "img2img", "init_image_id": image}
    assert await refused_fields(eve, **asked) == ["body.init_image_id"]
    async with transaction(sessions("worker"), eve.id) as session:
        assert await find_object_keys(session, {UUID(image)}) == {}
    async with transaction(sessions("worker"), ada.id) as session:
        (key,) = (await find_object_keys(session, {UUID(image)})).values()
    assert key.endswith(f"{image}.png")


async def test_the_api_sees_no_more_of_an_image_than_its_sides(
    ada: Caller, image: str, sessions: SessionsOf
) -> None:
    with pytest.raises(Exception, match="permission denied"):
        async with transaction(sessions("generation"), ada.id) as session:
            await session.execute(text("SELECT prompt FROM gallery.images"))
