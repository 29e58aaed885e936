"""Credits that end: by time, by replacement, by refund; and holds that nobody settles."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.credits.free_grants import (
    grant_free_month,
    open_account_with_a_free_month,
    pause_free_months,
    users_due_for_a_free_month,
)
from libs.credits.ledger import (
    Ending,
    InsufficientCredits,
    available_credits,
    end_grant,
    expire_credits,
    grant_credits,
    hold_credits,
    release_expired_holds,
    settle_hold,
    take_back,
)
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id

SessionsOf = Callable[[str], Sessions]
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MONTH = timedelta(days=31)
FREE = 500_000


async def give(
    sessions: SessionsOf, user: UUID, amount: int, *, key: str, lives: timedelta | None = None
) -> None:
    async with transaction(sessions("billing"), user) as session:
        await grant_credits(
            session,
            user_id=user,
            grant_id=new_id(),
            key=key,
            kind="plan",
            amount=amount,
            expires_at=NOW + lives if lives else None,
            now=NOW,
        )


async def hold(
    sessions: SessionsOf, user: UUID, amount: int, now: datetime = NOW, lives: int | None = None
) -> UUID:
    hold_id = new_id()
    expires_at = now + timedelta(days=lives) if lives else None
    async with transaction(sessions("generation"), user) as session:
        await hold_credits(
            session, user_id=user, hold_id=hold_id, amount=amount, expires_at=expires_at, now=now
        )
    return hold_id


async def settle(sessions: SessionsOf, user: UUID, hold_id: UUID, captured: int) -> bool:
    async with transaction(sessions("worker"), user) as session:
        return await settle_hold(
            session, user_id=user, hold_id=hold_id, captured=captured, now=NOW + 2 * MONTH
        )


async def left(sessions: SessionsOf, user: UUID, now: datetime = NOW) -> int:
    async with transaction(sessions("billing"), user) as session:
        assert await ledger_check(session) == []
        return await available_credits(session, user, now=now)


async def test_expired_credits_cannot_be_held_even_before_they_are_swept(
    sessions: SessionsOf,
) -> None:
    user = uuid4()
    await give(sessions, user, 1_000, key="month", lives=MONTH)
    assert await left(sessions, user) == 1_000
    assert await left(sessions, user, NOW + MONTH) == 0
    with pytest.raises(InsufficientCredits):
        await hold(sessions, user, 1, NOW + MONTH)


async def test_what_a_job_holds_outlives_the_expiry_of_its_grant(sessions: SessionsOf) -> None:
    user = uuid4()
    await give(sessions, user, 1_000, key="month", lives=MONTH)
    job = await hold(sessions, user, 400)
    async with transaction(sessions("billing"), user) as session:
        assert await expire_credits(session, user_id=user, now=NOW + MONTH) == 600
        assert await expire_credits(session, user_id=user, now=NOW + MONTH) == 0
    assert await settle(sessions, user, job, 300)
    # the released 100 belonged to a grant that is over
    assert await left(sessions, user) == 0


@pytest.mark.parametrize(
    ("why", "kind"), [("expired", "expire"), ("replaced", "reverse"), ("refunded", "reverse")]
)
async def test_a_grant_ends_once_and_keeps_what_was_spent(
    sessions: SessionsOf, why: Ending, kind: str
) -> None:
    user = uuid4()
    await give(sessions, user, 2_000_000, key="plan", lives=MONTH)
    await give(sessions, user, 500, key="top-up")
    job = await hold(sessions, user, 800_000)  # of more than one pocket
    await settle(sessions, user, job, 500_000)
    async with transaction(sessions("billing"), user) as session:
        ended = await end_grant(session, user_id=user, key="plan", why=why, now=NOW)
        assert (ended, await end_grant(session, user_id=user, key="plan", why=why)) == (
            1_500_000,
            0,
        )
        assert await end_grant(session, user_id=user, key="never given", why=why) == 0
        query = text("SELECT kind FROM credits.transfers ORDER BY id DESC LIMIT 1")
        assert await session.scalar(query) == kind
    assert await left(sessions, user) == 500


async def test_a_partial_refund_takes_back_at_most_what_is_unspent(sessions: SessionsOf) -> None:
    user, refund = uuid4(), uuid4()
    await give(sessions, user, 2_000_000, key="pack")
    await settle(sessions, user, await hold(sessions, user, 1_500_000), 1_500_000)

    async def refund_part(reversal: UUID, amount: int) -> int:
        async with transaction(sessions("billing"), user) as session:
            return await take_back(
                session, user_id=user, key="pack", reversal_id=reversal, amount=amount, now=NOW
            )

    assert await refund_part(refund, 300_000) == 300_000
    assert await refund_part(refund, 300_000) == 0
    assert await refund_part(uuid4(), 900_000) == 200_000
    assert await left(sessions, user) == 0


async def test_a_refund_of_what_is_held_is_taken_when_it_is_released(
    sessions: SessionsOf,
) -> None:
    user, refund = uuid4(), uuid4()
    await give(sessions, user, 2_000_000, key="pack")
    kept, dropped = await hold(sessions, user, 900_000), await hold(sessions, user, 1_100_000)
    for taken in (0, 0):  # once, however often it is told
        async with transaction(sessions("billing"), user) as session:
            assert taken == await take_back(
                session, user_id=user, key="pack", reversal_id=refund, amount=1_500_000, now=NOW
            )
    await settle(sessions, user, kept, 800_000)
    assert await left(sessions, user) == 0
    await settle(sessions, user, dropped, 100_000)
    # 1,100 credits came back in all, and 1,500 were owed
    assert await left(sessions, user) == 0


async def test_what_a_refund_does_not_need_of_a_release_stays(sessions: SessionsOf) -> None:
    user = uuid4()
    await give(sessions, user, 1_000, key="pack")
    job = await hold(sessions, user, 1_000)
    async with transaction(sessions("billing"), user) as session:
        await take_back(session, user_id=user, key="pack", reversal_id=uuid4(), amount=300, now=NOW)
    await settle(sessions, user, job, 100)
    assert await left(sessions, user) == 600


async def test_a_hold_that_nobody_settles_is_released(sessions: SessionsOf) -> None:
    user = uuid4()
    await give(sessions, user, 1_000, key="month")
    job = await hold(sessions, user, 400, lives=7)
    kept = await hold(sessions, user, 100)
    for days, released in ((6, 0), (7, 1), (8, 0)):
        async with transaction(sessions("billing"), user) as session:
            later = NOW + timedelta(days=days)
            assert await release_expired_holds(session, user_id=user, now=later) == released
    assert await left(sessions, user) == 900
    assert not await settle(sessions, user, job, 400)
    assert await settle(sessions, user, kept, 100)


async def test_parallel_holds_empty_a_large_grant_to_the_last_millicredit(
    sessions: SessionsOf,
) -> None:
    user, pool = uuid4(), sessions("generation")
    await give(sessions, user, 1_000_000, key="plan")

    async def try_hold() -> bool:
        try:
            async with transaction(pool, user) as session:
                await hold_credits(session, user_id=user, hold_id=new_id(), amount=90_909, now=NOW)
        except InsufficientCredits:
            return False
        return True

    outcomes = await asyncio.gather(*(try_hold() for _ in range(40)))
    assert outcomes.count(True) == 11
    assert await left(sessions, user) == 1


async def test_free_months_come_once_a_month_and_rest_while_a_plan_is_paid(
    sessions: SessionsOf,
) -> None:
    user, stranger = uuid4(), uuid4()
    async with transaction(sessions("user"), user) as session:
        await open_account_with_a_free_month(session, user_id=user, now=NOW)

    async def due(now: datetime) -> bool:
        async with transaction(sessions("billing")) as session:
            return user in await users_due_for_a_free_month(session, now=now, limit=10)

    async def grant(user: UUID, now: datetime) -> bool:
        async with transaction(sessions("billing"), user) as session:
            return await grant_free_month(session, user_id=user, now=now)

    february = datetime(2026, 2, 28, 12, tzinfo=UTC)  # opened on the 31st
    assert not await due(february - timedelta(seconds=1))
    assert await due(february)
    assert await grant(user, february)
    assert not await grant(user, february)
    assert not await grant(stranger, february)
    assert await left(sessions, user, february) == FREE
    async with transaction(sessions("billing"), user) as session:
        await pause_free_months(session, user_id=user)
    may = datetime(2026, 5, 4, tzinfo=UTC)
    assert not await due(may)
    assert await grant(user, may)  # the plan has ended: the month around today
    assert not await due(may)
    assert await due(datetime(2026, 5, 31, 12, tzinfo=UTC))
