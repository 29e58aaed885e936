"""A tier that nobody pays for is given by the database's administrator, and written down."""

import asyncpg
import pytest

from dev.give_tier import give_tier
from libs.kernel.ids import new_id
from libs.testkit.postgres import Database

ADD = (
    "INSERT INTO identity.users (id, email, display_name, password_hash, created_at)"
    " VALUES ($1, $2, 'Ada', '-', now())"
)


async def test_accounts_get_the_tier_and_the_log_says_so(database: Database) -> None:
    connection = await asyncpg.connect(database.admin_url.replace("+asyncpg", ""))
    ada, bob = new_id(), new_id()
    await connection.execute(ADD, ada, "ada@easel.example")
    await connection.execute(ADD, bob, "bob@easel.example")
    await give_tier(database.admin_url, "starter", ["ada@easel.example", "bob@easel.example"])
    await give_tier(database.admin_url, "pro", ["bob@easel.example"])
    rows = await connection.fetch("SELECT user_id, tier FROM ops.entitlements")
    assert {row["user_id"]: row["tier"] for row in rows} == {ada: "starter", bob: "pro"}
    lines = await connection.fetch(
        "SELECT user_id, details ->> 'tier' AS tier FROM ops.audit_log"
        " WHERE action = 'tier.given' ORDER BY id"
    )
    assert [tuple(line) for line in lines] == [(ada, "starter"), (bob, "starter"), (bob, "pro")]
    await connection.close()


async def test_unknown_accounts_and_tiers_change_nothing(database: Database) -> None:
    connection = await asyncpg.connect(database.admin_url.replace("+asyncpg", ""))
    await connection.execute(ADD, new_id(), "ada@easel.example")
    both = ["ada@easel.example", "nobody@easel.example"]
    with pytest.raises(SystemExit, match="there is no account nobody@easel.example"):
        await give_tier(database.admin_url, "pro", both)
    with pytest.raises(SystemExit, match="there is no tier gold"):
        await give_tier(database.admin_url, "gold", both)
    assert await connection.fetchval("SELECT count(*) FROM ops.entitlements") == 0
    await connection.close()
