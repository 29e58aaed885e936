"""Spend caps: by day, by month, for ever; of the account and of one key."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from libs.credits.caps import Period, SpendCap, SpendCapReached, list_caps, set_cap
from libs.credits.ledger import grant_credits, hold_credits, settle_hold
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id

SessionsOf = Callable[[str], Sessions]
NOW = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
TOMORROW = NOW + timedelta(minutes=2)
KEY = uuid4()


@pytest.fixture
async def user(sessions: SessionsOf) -> UUID:
    """Somebody with more credits than any cap."""
    user_id = uuid4()
    async with transaction(sessions("billing"), user_id) as session:
        await grant_credits(
            session,
            user_id=user_id,
            grant_id=new_id(),
            key=uuid4().hex,
            kind="admin",
            amount=5_000_000,
            expires_at=None,
        )
    return user_id


async def cap(
    sessions: SessionsOf, user: UUID, amount: int | None, period: Period, key: UUID | None = None
) -> None:
    async with transaction(sessions("payment"), user) as session:
        await set_cap(session, user_id=user, key_id=key, period=period, millicredits=amount)


async def hold(
    sessions: SessionsOf, user: UUID, amount: int, now: datetime = NOW, key: UUID | None = None
) -> UUID:
    hold_id = new_id()
    async with transaction(sessions("generation"), user) as session:
        await hold_credits(
            session, user_id=user, hold_id=hold_id, amount=amount, key_id=key, now=now
        )
    return hold_id


async def spend(
    sessions: SessionsOf, user: UUID, amount: int, now: datetime = NOW, key: UUID | None = None
) -> None:
    hold_id = await hold(sessions, user, amount, now, key)
    async with transaction(sessions("worker"), user) as session:
        await settle_hold(session, user_id=user, hold_id=hold_id, captured=amount, now=now)


async def test_a_cap_of_the_day_counts_what_is_spent_and_held_and_ends_at_midnight(
    sessions: SessionsOf, user: UUID
) -> None:
    await cap(sessions, user, 1_000, "day")
    await spend(sessions, user, 600)
    held = await hold(sessions, user, 300)
    with pytest.raises(SpendCapReached) as refused:
        await hold(sessions, user, 101)
    assert refused.value.detail == (
        "0.101 credits would pass your cap of 1 credits; 0.9 of this day are spent or held"
    )
    assert refused.value.extra == {
        "period": "day",
        "of_key": False,
        "cap_millicredits": 1_000,
        "spent_millicredits": 900,
        "needed_millicredits": 101,
    }
    async with transaction(sessions("worker"), user) as session:
        await settle_hold(session, user_id=user, hold_id=held, captured=0, now=NOW)
    await spend(sessions, user, 400)
    await spend(sessions, user, 1_000, TOMORROW)


@pytest.mark.parametrize(("period", "tomorrow"), [("day", True), ("month", True), ("total", False)])
async def test_periods_begin_anew(
    sessions: SessionsOf, user: UUID, period: Period, tomorrow: bool
) -> None:
    await cap(sessions, user, 500, period)
    await spend(sessions, user, 500)
    with pytest.raises(SpendCapReached):
        await hold(sessions, user, 1)
    if tomorrow:  # the first of April
        await hold(sessions, user, 500, TOMORROW)
    else:
        with pytest.raises(SpendCapReached):
            await hold(sessions, user, 1, TOMORROW)


async def test_a_keys_cap_binds_that_key_and_the_accounts_cap_binds_all(
    sessions: SessionsOf, user: UUID
) -> None:
    await cap(sessions, user, 500, "total", KEY)
    await spend(sessions, user, 400, key=KEY)
    with pytest.raises(SpendCapReached, match="this key's cap"):
        await hold(sessions, user, 101, key=KEY)
    await spend(sessions, user, 2_000)
    await spend(sessions, user, 2_000, key=uuid4())
    await cap(sessions, user, 4_450, "month")
    with pytest.raises(SpendCapReached, match="your cap"):
        await hold(sessions, user, 51, key=KEY)
    await hold(sessions, user, 50, key=KEY)


async def test_parallel_holds_do_not_pass_a_cap_together(sessions: SessionsOf, user: UUID) -> None:
    await cap(sessions, user, 1_000, "day")
    attempts = (hold(sessions, user, 100) for _ in range(24))
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(outcome, UUID) for outcome in outcomes) == 10
    assert all(isinstance(outcome, UUID | SpendCapReached) for outcome in outcomes)


async def test_caps_are_listed_changed_and_lifted_by_their_owner_alone(
    sessions: SessionsOf, user: UUID
) -> None:
    await cap(sessions, user, 500, "day")
    await cap(sessions, user, 700, "day")
    await cap(sessions, user, 0, "total", KEY)
    await cap(sessions, user, 9, "month")
    await cap(sessions, user, None, "month")
    for reader, seen in ((user, 2), (uuid4(), 0)):
        async with transaction(sessions("payment"), reader) as session:
            caps = await list_caps(session, user)
        assert len(caps) == seen
        assert seen == 0 or list(caps) == [
            SpendCap(None, "day", 700),
            SpendCap(KEY, "total", 0),
        ]
    with pytest.raises(SpendCapReached):
        await hold(sessions, user, 1, key=KEY)
