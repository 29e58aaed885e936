"""E-mails commit with the work, once a key, and only for whom the writer works."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.jobs.relay import listen_forever
from libs.mail.queue import CHANNEL, queue_email
from libs.testkit.postgres import Database

SessionsOf = Callable[[str], Sessions]
USER = uuid4()


async def queue(
    pool: Sessions, key: str, *, tenant: UUID | None = USER, owner: UUID | None = USER
) -> bool:
    async with transaction(pool, tenant) as session:
        return await queue_email(
            session, key=key, user_id=owner, to="ada@easel.example", subject="Hello", text="Hi"
        )


async def rows(sessions: SessionsOf) -> list[Row[Any]]:
    async with sessions("admin")() as session:
        return list(await session.execute(text("SELECT * FROM ops.emails ORDER BY id")))


@pytest.mark.parametrize("role", ["user", "payment", "billing"])
async def test_a_key_is_queued_once(sessions: SessionsOf, role: str) -> None:
    pool = sessions(role)
    assert await queue(pool, "receipt:1")
    assert not await queue(pool, "receipt:1")
    assert await queue(pool, "receipt:2")
    kept = await rows(sessions)
    assert [(row.key, row.state, row.attempts) for row in kept] == [
        ("receipt:1", "pending", 0),
        ("receipt:2", "pending", 0),
    ]
    assert kept[0].next_try_at == kept[0].created_at


async def test_of_two_at_once_one_is_queued(sessions: SessionsOf) -> None:
    pool = sessions("payment")
    answers = await asyncio.gather(*(queue(pool, "receipt:1") for _ in range(8)))
    assert sorted(answers) == [False] * 7 + [True]
    assert len(await rows(sessions)) == 1


async def test_what_rolls_back_tells_nobody(sessions: SessionsOf) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        async with transaction(sessions("payment"), USER) as session:
            await queue_email(
                session, key="k", user_id=USER, to="a@easel.example", subject="s", text="t"
            )
            raise RuntimeError("stop")
    assert await rows(sessions) == []
    assert await queue(sessions("payment"), "k")


async def test_the_sender_is_woken_by_the_commit(database: Database, sessions: SessionsOf) -> None:
    wake, pool = asyncio.Event(), sessions("user")
    dsn = database.url("billing").replace("+asyncpg", "")
    listening = asyncio.create_task(listen_forever(dsn, wake, asyncpg.connect, CHANNEL))
    try:
        await asyncio.wait_for(wake.wait(), 5)  # it listens
        wake.clear()
        async with transaction(pool, USER) as session:
            await queue_email(
                session, key="k", user_id=USER, to="a@easel.example", subject="s", text="t"
            )
            await asyncio.sleep(0.1)
            assert not wake.is_set()
        await asyncio.wait_for(wake.wait(), 5)
    finally:
        listening.cancel()


async def test_the_time_may_be_given(sessions: SessionsOf) -> None:
    then = datetime(2030, 1, 31, tzinfo=UTC)
    async with transaction(sessions("billing")) as session:
        await queue_email(
            session, key="k", user_id=None, to="a@easel.example", subject="s", text="t", now=then
        )
    (row,) = await rows(sessions)
    assert row.created_at == row.next_try_at == then


@pytest.mark.parametrize("role", ["user", "payment", "relay"])
async def test_a_service_writes_to_its_own_tenant_alone(sessions: SessionsOf, role: str) -> None:
    for tenant, owner in ((USER, uuid4()), (USER, None), (None, USER)):
        with pytest.raises(DBAPIError, match="row-level security"):
            await queue(sessions(role), "k", tenant=tenant, owner=owner)


async def test_another_tenants_key_is_taken_and_tells_nothing(sessions: SessionsOf) -> None:
    assert await queue(sessions("payment"), "k")
    stranger = uuid4()
    assert not await queue(sessions("payment"), "k", tenant=stranger, owner=stranger)


@pytest.mark.parametrize("role", ["generation", "gallery", "model", "worker"])
async def test_nobody_else_writes_or_reads(sessions: SessionsOf, role: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        await queue(sessions(role), "k")
    async with sessions(role)() as session:
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute(text("SELECT 1 FROM ops.emails"))


@pytest.mark.parametrize("role", ["user", "payment", "relay"])
async def test_who_writes_reads_nothing(sessions: SessionsOf, role: str) -> None:
    """Links that open an account wait here: the payment service has no use for them."""
    assert await queue(sessions("user"), "k")
    assert not await queue(sessions(role), "k")
    for column in ("text", "html", "recipient"):
        async with transaction(sessions(role), USER) as session:
            with pytest.raises(DBAPIError, match="permission denied"):
                await session.execute(text(f"SELECT {column} FROM ops.emails"))


async def test_what_was_queued_is_changed_by_nobody(sessions: SessionsOf) -> None:
    await queue(sessions("billing"), "k")
    statements = {
        "UPDATE ops.emails SET recipient = 'eve@evil.example'": ("user", "payment", "billing"),
        "UPDATE ops.emails SET state = 'pending'": ("user", "payment"),
        "DELETE FROM ops.emails": ("user", "payment", "billing"),
    }
    for statement, roles in statements.items():
        for role in roles:
            async with sessions(role)() as session:
                with pytest.raises(DBAPIError, match="permission denied"):
                    await session.execute(text(statement))
