"""The caller's own account and plan."""

from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.tiers.catalogue import load_catalogue
from tests.services.callers import named_fields, problem_of
from tests.services.one_row_each import ONE_ROW_EACH, Owned
from tests.services.user.accounts import ME, UserApi, as_user, register

SessionsOf = Callable[[str], Sessions]


async def test_the_display_name_can_be_changed(api: httpx.AsyncClient) -> None:
    registered = await register(api)
    ada = as_user(api, registered)
    changed = await ada.patch(ME, {"display_name": " Ada L. "})
    assert changed.json() == {**registered["user"], "display_name": "Ada L."}
    assert (await ada.get(ME)).json() == changed.json()


@pytest.mark.parametrize("body", [{"display_name": ""}, {"email": "eve@example.com"}])
async def test_nothing_else_can(api: httpx.AsyncClient, body: dict[str, str]) -> None:
    ada = as_user(api, await register(api))
    assert f"body.{next(iter(body))}" in named_fields(await ada.patch(ME, body))


async def test_one_user_changes_and_sees_nobody_else(api: httpx.AsyncClient) -> None:
    ada = as_user(api, await register(api))
    eve = as_user(api, await register(api, email="eve@example.com", display_name="Eve"))
    await eve.patch(ME, {"display_name": "Mallory"})
    assert (await ada.get(ME)).json()["display_name"] == "Ada"
    assert (await eve.get(ME)).json()["display_name"] == "Mallory"


async def test_the_plan_and_its_limits(api: httpx.AsyncClient, sessions: SessionsOf) -> None:
    ada = as_user(api, await register(api))
    free = (await ada.get(f"{ME}/entitlements")).json()
    assert (free["tier"], free["catalogue_version"]) == ("free", load_catalogue().version)
    async with transaction(sessions("payment"), ada.id) as session:
        upgrade = text("INSERT INTO ops.entitlements (user_id, tier) VALUES (:id, 'studio')")
        await session.execute(upgrade, {"id": ada.id})
    studio = (await ada.get(f"{ME}/entitlements")).json()
    for answer in (free, studio):
        plan = load_catalogue().tier(answer["tier"]).model_dump(mode="json")
        assert answer["limits"] == {name: plan[name] for name in answer["limits"]}
    assert (free["limits"]["running_jobs"], studio["limits"]["running_jobs"]) == (1, 3)


async def test_what_is_used_and_what_is_left(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    eve = as_user(api, await register(api, email="eve@example.com"))
    old = Owned(user_id=ada.id)
    jobs = """
        INSERT INTO generation.jobs (id, user_id, tier, pool, model, base, request,
            quoted_millicredits, state, created_at, finished_at)
        SELECT gen_random_uuid(), :user, 'free', 'standard', 'demo', 'demo', '{}', 1000, state,
            now() - age * interval '1 minute',
            CASE WHEN state = 'failed' THEN now() END
        FROM (VALUES ('queued', 0), ('queued', 90), ('running', 61), ('failed', 5), ('failed', 61))
            AS job (state, age)
    """
    await api.sql(jobs, user=ada.id)
    await api.sql(ONE_ROW_EACH["gallery.images"], user=ada.id, image=old.image_id, id=old.other_id)
    await api.sql(
        "INSERT INTO credits.holds (id, user_id, amount, grant_ids, pockets, parts, created_at)"
        " SELECT gen_random_uuid(), user_id, 7000, ARRAY[id], '{0}', '{7000}', now()"
        " FROM credits.grants WHERE user_id = :user",
        user=ada.id,
    )
    plan = load_catalogue().tier("free")
    granted = plan.credits_month * 1_000
    usage = (await ada.get(f"{ME}/entitlements")).json()["usage"]
    assert (usage["available_millicredits"], usage["held_millicredits"]) == (granted, 7_000)
    assert (usage["available_credits"], usage["held_credits"]) == (str(plan.credits_month), "7")
    assert usage["waiting_jobs"] == {"used": 2, "limit": 10, "left": 8}
    assert usage["running_jobs"] == {"used": 1, "limit": 1, "left": 0}
    assert usage["creates_this_hour"] == {"used": 2, "limit": 10, "left": 8}
    assert usage["storage_bytes"] == {"used": 1, "limit": 2**30, "left": 2**30 - 1}
    hers = (await eve.get(f"{ME}/entitlements")).json()["usage"]
    uses = ("waiting_jobs", "running_jobs", "creates_this_hour", "storage_bytes")
    assert [hers[name]["used"] for name in uses] == [0, 0, 0, 0]
    assert hers["available_millicredits"] == granted


async def test_an_unlimited_plan_has_nothing_left_to_count(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    plan = "INSERT INTO ops.entitlements (user_id, tier) VALUES (:id, 'enterprise')"
    await api.sql(plan, id=ada.id)
    usage = (await ada.get(f"{ME}/entitlements")).json()["usage"]
    assert usage["creates_this_hour"] == {"used": 0, "limit": None, "left": None}


async def test_without_a_valid_token_nothing_is_answered(api: httpx.AsyncClient) -> None:
    token = (await register(api))["access_token"]
    head, _, signature = token.rpartition(".")
    forged = f"{head}.{signature[::-1]}"
    for headers in ({}, *({"Authorization": f"Bearer {t}"} for t in ("x", forged))):
        for path in (ME, f"{ME}/entitlements"):
            answer = await api.get(path, headers=headers)
            assert problem_of(answer) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_token_of_a_deleted_account_opens_nothing(
    api: httpx.AsyncClient, sessions: SessionsOf
) -> None:
    ada = as_user(api, await register(api))
    async with sessions("admin").begin() as session:
        await session.execute(text("DELETE FROM identity.users"))
    assert problem_of(await ada.get(ME)) == (401, "unauthorized")
