"""Who operates the platform is said by its database administrator, and written down."""

from uuid import UUID

import asyncpg
import pytest

from dev.make_admin import make_admin
from libs.kernel.ids import new_id
from libs.testkit.postgres import Database

ADD = (
    "INSERT INTO identity.users (id, email, display_name, password_hash, created_at)"
    " VALUES ($1, $2, 'Ada', '-', now())"
)


async def test_the_account_becomes_an_operator_and_the_log_says_so(database: Database) -> None:
    connection = await asyncpg.connect(database.admin_url.replace("+asyncpg", ""))
    ada, bob = new_id(), new_id()
    await connection.execute(ADD, ada, "ada@easel.example")
    await connection.execute(ADD, bob, "bob@easel.example")
    await make_admin(database.admin_url, "ada@easel.example")
    rows = await connection.fetch("SELECT id, role FROM identity.users")
    roles: dict[UUID, str] = {row["id"]: row["role"] for row in rows}
    assert roles == {ada: "admin", bob: "user"}
    lines = await connection.fetch("SELECT action, user_id, details FROM ops.audit_log")
    assert [tuple(line) for line in lines] == [("user.role_changed", ada, '{"role": "admin"}')]
    await connection.close()


async def test_an_unknown_account_is_told(database: Database) -> None:
    with pytest.raises(SystemExit, match="there is no account nobody@easel.example"):
        await make_admin(database.admin_url, "nobody@easel.example")
