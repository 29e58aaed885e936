"""Staff: who sees whose account, who changes access, what ends with it, what is written down."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.db.engine import Sessions
from libs.db.transaction import set_tenant
from libs.kernel.clock import utc_now
from libs.testkit.postgres import ROLES
from tests.services.callers import Caller, named_fields, problem_of, walk
from tests.services.user.accounts import (
    AUTH,
    CREDENTIALS,
    ME,
    UserApi,
    as_user,
    log_in,
    make_staff,
    refresh,
    register,
)

SessionsOf = Callable[[str], Sessions]
USERS = "/api/v1/admin/users"
LOG = "/api/v1/admin/audit-log"
WHY = {"reason": "case 4711"}


async def test_staff_find_accounts_by_address_name_id_and_role(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    await register(api, email="eve_x@example.com", display_name="Eve 100%")
    helper = await make_staff(api, "support", "helper")

    async def found(**query: str) -> list[str]:
        return [user["email"] for user in await walk(helper, USERS, **query)]

    everybody = ["helper@example.com", "eve_x@example.com", "ada@example.com"]
    assert await found() == await found(limit="1") == everybody
    assert await found(q="ADA@") == await found(q=str(ada.id)) == ["ada@example.com"]
    assert await found(q="eve 100%") == await found(q="e_x") == ["eve_x@example.com"]
    assert await found(q="a%a") == await found(q="nobody") == []
    assert await found(role="support") == ["helper@example.com"]
    assert await found(q="example", role="user") == everybody[1:]


async def test_an_account_as_staff_see_it(api: UserApi) -> None:
    registered = await register(api)
    helper = await make_staff(api, "support")
    await api.sql(
        "INSERT INTO ops.entitlements (user_id, tier) VALUES (:id, 'pro')",
        id=UUID(registered["user"]["id"]),
    )
    answer = await helper.get(f"{USERS}/{registered['user']['id']}")
    shown = {**registered["user"], "tier": "pro", "suspended_at": None}
    del shown["email_verified"]
    assert answer.json() == shown
    assert problem_of(await helper.get(f"{USERS}/{uuid4()}")) == (404, "account-not-found")


async def test_others_see_and_change_nothing(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    helper = await make_staff(api, "support")
    for path in (USERS, f"{USERS}/{ada.id}", LOG):
        assert problem_of(await ada.get(path)) == (403, "forbidden")
    assert problem_of(await helper.get(LOG)) == (403, "forbidden")
    change = {"role": "admin", **WHY}
    for caller in (ada, helper):
        assert problem_of(await caller.patch(f"{USERS}/{ada.id}", change)) == (403, "forbidden")
    assert (await ada.get(ME)).json()["role"] == "user"


async def test_a_role_counts_in_the_database_and_not_in_the_token_alone(api: UserApi) -> None:
    ada = as_user(api, await register(api))
    root = await make_staff(api, "admin")
    await api.sql("UPDATE identity.users SET role = 'user' WHERE id = :id", id=root.id)
    # the token still says admin, for a few minutes
    assert [user["email"] for user in await walk(root, USERS)] == ["root@example.com"]
    assert problem_of(await root.get(f"{USERS}/{ada.id}")) == (404, "account-not-found")
    own = await root.patch(f"{USERS}/{root.id}", {"role": "admin", **WHY})
    assert problem_of(own) == (403, "forbidden")


async def test_without_asking_for_it_staff_see_their_own_rows(
    api: UserApi, sessions: SessionsOf
) -> None:
    await register(api)
    root = await make_staff(api, "admin")
    async with sessions("user").begin() as session:
        await set_tenant(session, root.id)
        assert (await session.scalars(text("SELECT id FROM identity.users"))).all() == [root.id]
        owners = set(await session.scalars(text("SELECT user_id FROM ops.audit_log")))
        assert owners == {root.id}


async def test_a_suspension_ends_everything_and_can_be_taken_back(api: UserApi) -> None:
    registered = await register(api)
    ada, root = as_user(api, registered), await make_staff(api, "admin")
    await api.sql(
        "INSERT INTO ops.api_keys (id, user_id, name, prefix, key_hash, scopes, created_at)"
        " VALUES (:id, :user, 'k', 'ek_', sha256('k'), ARRAY['images:read'], now())",
        id=uuid4(),
        user=ada.id,
    )
    answer = await root.patch(f"{USERS}/{ada.id}", {"suspended": True, **WHY})
    assert answer.status_code == 200 and answer.json()["suspended_at"] is not None
    assert problem_of(await refresh(api, registered["refresh_token"]))[0] == 401
    (key,) = await api.sql("SELECT ended_at FROM ops.api_keys")
    assert key.ended_at is not None
    (ended,) = await api.sql("SELECT session_id FROM ops.ended_logins")
    api.app.state.ended_logins.refresh_seconds = 0.0
    assert problem_of(await ada.get(ME)) == (401, "unauthorized")
    refused = await api.post(f"{AUTH}/login", json=CREDENTIALS)
    assert problem_of(refused) == (403, "account-suspended")
    wrong = await api.post(f"{AUTH}/login", json={**CREDENTIALS, "password": "wrong horse"})
    assert problem_of(wrong) == (401, "invalid-credentials")
    back = await root.patch(f"{USERS}/{ada.id}", {"suspended": False, **WHY})
    assert back.json()["suspended_at"] is None
    assert (await as_user(api, {**registered, **await log_in(api)}).get(ME)).status_code == 200


async def test_a_new_role_needs_a_new_login(api: UserApi) -> None:
    registered = await register(api)
    ada, root = as_user(api, registered), await make_staff(api, "admin")
    answer = await root.patch(f"{USERS}/{ada.id}", {"role": "support", **WHY})
    assert answer.json()["role"] == "support"
    assert problem_of(await refresh(api, registered["refresh_token"]))[0] == 401
    helper = as_user(api, {**registered, **await log_in(api)})
    assert (await helper.get(f"{USERS}/{ada.id}")).json() == answer.json()


async def test_somebody_is_always_left_to_administer(api: UserApi) -> None:
    root = await make_staff(api, "admin")
    for change in ({"role": "user"}, {"suspended": True}):
        refused = await root.patch(f"{USERS}/{root.id}", {**change, **WHY})
        assert problem_of(refused) == (409, "last-administrator")
    second = await make_staff(api, "admin", "second")
    assert (await root.patch(f"{USERS}/{second.id}", {"suspended": True, **WHY})).is_success
    refused = await root.patch(f"{USERS}/{root.id}", {"role": "support", **WHY})
    assert problem_of(refused) == (409, "last-administrator")
    assert (await root.patch(f"{USERS}/{second.id}", {"suspended": False, **WHY})).is_success
    assert (await root.patch(f"{USERS}/{root.id}", {"role": "support", **WHY})).is_success


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "owner", **WHY}, "body.role"),
        ({"role": "admin"}, "body.reason"),
        ({"role": "admin", "reason": ""}, "body.reason"),
        (WHY, "body"),
        ({"suspended": True, "email": "x@example.com", **WHY}, "body.email"),
    ],
)
async def test_a_bad_field_is_named(api: UserApi, body: dict[str, object], field: str) -> None:
    root = await make_staff(api, "admin")
    assert named_fields(await root.patch(f"{USERS}/{uuid4()}", body)) == [field]


async def lines(root: Caller, **query: str) -> list[tuple[str, str | None]]:
    return [(line["action"], line["user_id"]) for line in await walk(root, LOG, **query)]


async def test_the_audit_log_tells_who_changed_what(api: UserApi) -> None:
    ada, root = as_user(api, await register(api)), await make_staff(api, "admin")
    await api.post(f"{AUTH}/login", json={**CREDENTIALS, "email": "nobody@example.com"})
    await root.patch(f"{USERS}/{ada.id}", {"role": "support", "suspended": True, **WHY})
    answer = (await root.get(LOG, actor=f"admin:{root.id}")).json()
    suspended, changed = answer["items"]
    assert (suspended["action"], changed["action"]) == ("user.suspended", "user.role_changed")
    assert changed["user_id"] == str(ada.id) and changed["subject"] == f"user:{ada.id}"
    details = changed["details"]
    assert (details["role"], details["role_before"]) == ("support", "user")
    assert details["reason"] == WHY["reason"] and len(details["request_id"]) == 32
    assert await lines(root, action="login.failed", limit="1") == [("login.failed", None)]
    hers = ["user.suspended", "user.role_changed", "login.opened", "account.opened"]
    assert await lines(root, user_id=str(ada.id), limit="3") == [(a, str(ada.id)) for a in hers]
    soon = (utc_now() + timedelta(minutes=1)).isoformat()
    assert await lines(root, **{"from": soon}) == []
    assert await lines(root, to=soon) == await lines(root)
    assert "@" not in (await root.get(LOG, limit="100")).text


async def test_bad_filters_are_named(api: UserApi) -> None:
    root = await make_staff(api, "admin")
    for query in ({"from": "2026-01-01T00:00:00"}, {"to": "0001-01-01T00:00:00+23:59"}):
        (field,) = query
        assert named_fields(await root.get(LOG, **query)) == [f"query.{field}"]
    assert named_fields(await root.get(LOG, actor="\x00")) == ["query.actor"]
    assert named_fields(await root.get(USERS, q="\x00")) == ["query.q"]


@pytest.mark.parametrize("role", ROLES)
async def test_no_service_changes_a_line_of_the_audit_log(
    api: UserApi, sessions: SessionsOf, role: str
) -> None:
    ada = as_user(api, await register(api))
    for statement in (
        "UPDATE ops.audit_log SET action = 'x'",
        "DELETE FROM ops.audit_log",
        "TRUNCATE ops.audit_log",
    ):
        async with sessions(role)() as session:
            await set_tenant(session, ada.id)
            with pytest.raises(DBAPIError, match="permission denied"):
                await session.execute(text(statement))
    with pytest.raises(DBAPIError, match="append-only"):
        await api.sql("DELETE FROM ops.audit_log")
