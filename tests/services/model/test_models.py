"""Models: what there is, who may use it, what it costs."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from tests.services.callers import Caller, named_fields, problem_of, walk
from tests.services.model.shelf import add_model

SessionsOf = Callable[[str], Sessions]
PATH = "/api/v1/models"
INTERNAL = "/internal/v1/models"
NOT_FOUND = (404, "model-not-found")


async def upgrade(sessions: SessionsOf, caller: Caller, tier: str) -> None:
    change = text(
        "INSERT INTO ops.entitlements (user_id, tier) VALUES (:id, :tier)"
        " ON CONFLICT (user_id) DO UPDATE SET tier = excluded.tier"
    )
    async with transaction(sessions("payment"), caller.id) as session:
        await session.execute(change, {"id": caller.id, "tier": tier})


async def slugs(caller: Caller, **query: Any) -> list[str]:
    return [item["model"]["slug"] for item in await walk(caller, PATH, **query)]


async def test_the_demo_model_is_open_to_everybody(ada: Caller) -> None:
    (item,) = await walk(ada, PATH)
    model = item["model"]
    assert (model["slug"], model["base"], model["type"]) == ("demo", "demo", "checkpoint")
    assert (model["default_width"], model["default_height"]) == (64, 64)
    assert (model["default_steps"], model["default_guidance"]) == (20, 5.0)
    assert (item["allowed"], item["required_tier"]) == (True, "free")
    # 500 x 64 x 64 / 512^2 = 7.8125, rounded up; an image costs a credit at least
    assert (item["step_millicredits"], item["step_credits"]) == (8, "0.008")
    assert (item["image_millicredits"], item["image_credits"]) == (1_000, "1")
    assert (await ada.get(f"{PATH}/demo")).json() == item
    assert (await ada.get(f"{PATH}/{model['id']}")).json() == item


async def test_the_plan_opens_models_and_says_which_plan_would(
    ada: Caller, sessions: SessionsOf
) -> None:
    for base in ("sd15", "sdxl", "flux"):
        side = 512 if base == "sd15" else 1024
        await add_model(sessions("admin"), f"{base}-base", base=base, side=side)

    async def gates() -> dict[str, tuple[bool, str]]:
        items = await walk(ada, PATH)
        return {i["model"]["base"]: (i["allowed"], i["required_tier"]) for i in items}

    needed = {"demo": "free", "sd15": "free", "sdxl": "starter", "flux": "pro"}
    opened = {
        "free": {"demo", "sd15"},
        "starter": {"demo", "sd15", "sdxl"},
        "pro": set(needed),
        "studio": set(needed),
        "enterprise": set(needed),
    }
    for tier, bases in opened.items():
        await upgrade(sessions, ada, tier)
        assert await gates() == {base: (base in bases, needed[base]) for base in needed}


async def test_prices_are_those_of_the_models_own_size(ada: Caller, sessions: SessionsOf) -> None:
    await add_model(sessions("admin"), "sdxl-base", base="sdxl", side=1024)
    item = (await ada.get(f"{PATH}/sdxl-base")).json()
    # 750 a step at 512 x 512; four times the area; 30 steps
    assert (item["step_millicredits"], item["step_credits"]) == (3_000, "3")
    assert (item["image_millicredits"], item["image_credits"]) == (90_000, "90")


async def test_filters_and_pages(ada: Caller, sessions: SessionsOf) -> None:
    admin = sessions("admin")
    await add_model(admin, "photo", base="sd15")
    await add_model(admin, "ink", base="sd15", type="lora")
    await add_model(admin, "oil", base="sdxl", type="lora")
    assert await slugs(ada) == ["oil", "ink", "photo", "demo"]
    assert await slugs(ada, limit=1) == ["oil", "ink", "photo", "demo"]
    assert await slugs(ada, type="lora") == ["oil", "ink"]
    assert await slugs(ada, base="sd15") == ["ink", "photo"]
    assert await slugs(ada, base="sd15", type="lora") == ["ink"]
    assert await slugs(ada, base="flux") == []


@pytest.mark.parametrize(
    ("name", "value"), [("type", "poem"), ("base", "sd3"), ("limit", "0"), ("cursor", "?")]
)
async def test_a_bad_query_is_named(ada: Caller, name: str, value: str) -> None:
    assert named_fields(await ada.get(PATH, **{name: value})) == [f"query.{name}"]


async def test_what_is_not_there_is_not_found(ada: Caller, api: httpx.AsyncClient) -> None:
    for name in ("nothing", str(uuid4())):
        assert problem_of(await ada.get(f"{PATH}/{name}")) == NOT_FOUND
        assert problem_of(await api.get(f"{INTERNAL}/{name}")) == NOT_FOUND
    assert named_fields(await ada.get(f"{PATH}/a_b")) == ["path.name"]


async def test_a_private_model_exists_for_its_owner_alone(
    ada: Caller, eve: Caller, api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    model_id = await add_model(sessions("admin"), "adas-cat", base="sd15", owner=ada.id)
    assert await slugs(ada) == ["adas-cat", "demo"]
    assert await slugs(eve) == ["demo"]
    for name in ("adas-cat", str(model_id)):
        assert (await ada.get(f"{PATH}/{name}")).json()["model"]["id"] == str(model_id)
        assert problem_of(await eve.get(f"{PATH}/{name}")) == NOT_FOUND
        assert problem_of(await api.get(f"{INTERNAL}/{name}")) == NOT_FOUND


async def test_without_a_token_only_services_are_answered(api: httpx.AsyncClient) -> None:
    for path in (PATH, f"{PATH}/demo"):
        assert problem_of(await api.get(path)) == (401, "unauthorized")
    assert (await api.get(f"{INTERNAL}/demo")).json()["slug"] == "demo"
