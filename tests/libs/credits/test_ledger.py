"""The ledger on real PostgreSQL, through the services' own login roles."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.credits.audit import ledger_check
from libs.credits.ledger import (
    InsufficientCredits,
    UnknownHold,
    available_credits,
    grant_credits,
    hold_credits,
    settle_hold,
)
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id

SessionsOf = Callable[[str], Sessions]


async def give(
    sessions: SessionsOf, user_id: UUID, amount: int, *, key: str = "", days: int | None = None
) -> bool:
    async with transaction(sessions("billing"), user_id) as session:
        return await grant_credits(
            session,
            user_id=user_id,
            grant_id=new_id(),
            key=key or uuid4().hex,
            kind="promotion",
            amount=amount,
            expires_at=datetime.now(UTC) + timedelta(days=days) if days else None,
        )


async def hold(sessions: SessionsOf, user_id: UUID, amount: int, hold_id: UUID) -> None:
    async with transaction(sessions("generation"), user_id) as session:
        await hold_credits(session, user_id=user_id, hold_id=hold_id, amount=amount)


async def settle(sessions: SessionsOf, user_id: UUID, hold_id: UUID, captured: int) -> bool:
    async with transaction(sessions("worker"), user_id) as session:
        return await settle_hold(session, user_id=user_id, hold_id=hold_id, captured=captured)


async def left(sessions: SessionsOf, user_id: UUID) -> int:
    async with transaction(sessions("payment"), user_id) as session:
        return await available_credits(session, user_id)


async def assert_balanced(sessions: SessionsOf) -> None:
    async with sessions("admin")() as session:
        assert await ledger_check(session) == []


async def test_a_hold_is_captured_in_part_and_the_rest_released(sessions: SessionsOf) -> None:
    user, job = uuid4(), new_id()
    await give(sessions, user, 10_000)
    await hold(sessions, user, 4_000, job)
    assert await left(sessions, user) == 6_000
    assert await settle(sessions, user, job, 1_500)
    assert await left(sessions, user) == 8_500
    await assert_balanced(sessions)


async def test_every_posting_is_idempotent(sessions: SessionsOf) -> None:
    user, job = uuid4(), new_id()
    assert await give(sessions, user, 10_000, key="order-1")
    assert not await give(sessions, user, 10_000, key="order-1")
    await hold(sessions, user, 4_000, job)
    await hold(sessions, user, 4_000, job)
    assert await settle(sessions, user, job, 4_000)
    assert not await settle(sessions, user, job, 4_000)
    assert await left(sessions, user) == 6_000
    await assert_balanced(sessions)


async def test_sixty_four_requests_against_a_balance_for_ten(sessions: SessionsOf) -> None:
    user = uuid4()
    await give(sessions, user, 10_000)
    pool = sessions("generation")

    async def try_hold() -> bool:
        try:
            async with transaction(pool, user) as session:
                await hold_credits(session, user_id=user, hold_id=new_id(), amount=1_000)
        except InsufficientCredits as refused:
            assert refused.extra["available_millicredits"] < 1_000
            return False
        return True

    outcomes = await asyncio.gather(*(try_hold() for _ in range(64)))
    assert outcomes.count(True) == 10
    assert await left(sessions, user) == 0
    await assert_balanced(sessions)


async def test_the_grant_that_expires_first_is_burned_first(sessions: SessionsOf) -> None:
    user, job = uuid4(), new_id()
    await give(sessions, user, 1_000, key="for ever")
    await give(sessions, user, 1_000, key="next month", days=30)
    await give(sessions, user, 1_000, key="tomorrow", days=1)
    await hold(sessions, user, 1_500, job)
    await settle(sessions, user, job, 1_500)
    query = text("SELECT key, remaining FROM credits.open_grants ORDER BY key")
    async with transaction(sessions("payment"), user) as session:
        remaining = {row.key: row.remaining for row in await session.execute(query)}
    assert remaining == {"for ever": 1_000, "next month": 500, "tomorrow": 0}


async def test_a_hold_that_was_never_made_cannot_be_settled(sessions: SessionsOf) -> None:
    with pytest.raises(UnknownHold):
        await settle(sessions, uuid4(), new_id(), 0)


async def test_more_than_the_hold_is_never_captured(sessions: SessionsOf) -> None:
    user, job = uuid4(), new_id()
    await give(sessions, user, 10_000)
    await hold(sessions, user, 1_000, job)
    with pytest.raises(DBAPIError, match="a capture is within its hold"):
        await settle(sessions, user, job, 1_001)
    assert await settle(sessions, user, job, 1_000)


async def test_nobody_posts_on_another_users_account(sessions: SessionsOf) -> None:
    victim, thief = uuid4(), uuid4()
    await give(sessions, victim, 10_000)
    async with transaction(sessions("generation"), thief) as session:
        with pytest.raises(InsufficientCredits):
            await hold_credits(session, user_id=victim, hold_id=new_id(), amount=1)
    assert await left(sessions, victim) == 10_000


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credits.accounts SET next_free_at = now()",
        "INSERT INTO credits.accounts (user_id, opened_at) VALUES (gen_random_uuid(), now())",
        "UPDATE credits.pockets SET remaining = remaining + 1",
        "DELETE FROM credits.holds",
        "DELETE FROM credits.transfers",
    ],
)
@pytest.mark.parametrize("role", ["user", "payment", "generation", "gallery", "model", "worker"])
async def test_service_roles_cannot_touch_the_tables(
    sessions: SessionsOf, role: str, statement: str
) -> None:
    async with sessions(role)() as session:
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute(text(statement))


@pytest.mark.parametrize(
    "statement", ["UPDATE credits.transfers SET amount = 1", "DELETE FROM credits.transfers"]
)
async def test_transfers_are_append_only_even_for_the_superuser(
    sessions: SessionsOf, statement: str
) -> None:
    await give(sessions, uuid4(), 1_000)
    async with sessions("admin")() as session:
        with pytest.raises(DBAPIError, match="append-only"):
            await session.execute(text(statement))


@pytest.mark.parametrize(
    ("tampering", "rule"),
    [
        ("UPDATE credits.pockets SET remaining = remaining - 1", "grant: its pockets"),
        ("DELETE FROM credits.pockets", "grant: its pockets"),
        ("UPDATE credits.grants SET amount = amount + 1", "grant: issued once"),
        ("UPDATE credits.holds SET amount = 401, parts = ARRAY[401]", "hold: open with"),
        ("DELETE FROM credits.holds", "hold: captured and released"),
        ("TRUNCATE credits.holds", "hold: captured and released"),
    ],
)
async def test_the_audit_sees_what_was_tampered_with(
    sessions: SessionsOf, tampering: str, rule: str
) -> None:
    user = uuid4()
    await give(sessions, user, 1_000)
    await hold(sessions, user, 400, new_id())
    await assert_balanced(sessions)
    async with sessions("admin").begin() as session:
        await session.execute(text(tampering))
        (finding,) = await ledger_check(session)
    assert finding.rule.startswith(rule)
    assert finding.user_id == user
