"""What billing does by the clock."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from libs.db.engine import Sessions
from services.payment import rounds
from tests.services.payment.lives import at
from tests.services.payment.till import PRO, Till, open_till

SessionsOf = Callable[[str], Sessions]


@pytest.fixture
async def till(sessions: SessionsOf) -> Till:
    return await open_till(sessions)


async def test_what_is_due_by_the_clock_is_settled(till: Till) -> None:
    till.buy(1012, skip_trial=True)
    await till.settle()
    await rounds.settle_due_users(till.desk)
    months = "SELECT count(*) FROM credits.grants WHERE kind = 'plan'"
    assert await till.rows(months) == [(1,)]
    till.now = at("2027-02-28 10:00")
    await rounds.settle_due_users(till.desk)
    await rounds.settle_due_users(till.desk)
    assert await till.rows(months) == [(2,)]


async def test_one_user_who_cannot_be_settled_keeps_no_other_waiting(
    till: Till, sessions: SessionsOf
) -> None:
    other = await open_till(sessions, books=till.books)
    for customer in (till, other):
        customer.buy(1012, skip_trial=True)
        await customer.settle()
    broken = "UPDATE billing.observations SET tier = 'gone' WHERE user_id = :user"
    async with till.admin.begin() as session:
        await session.execute(text(broken), {"user": till.user_id})
    other.now = till.now = at("2027-02-28 10:00")
    await rounds.settle_due_users(till.desk)
    months = "SELECT count(*) FROM credits.grants WHERE kind = 'plan' AND user_id = :user"
    assert (await till.rows(months), await other.rows(months)) == ([(1,)], [(2,)])


async def test_free_months_come_month_by_month_and_not_on_a_plan(till: Till) -> None:
    keys = "SELECT key FROM credits.grants WHERE kind = 'free' AND user_id = :user ORDER BY key"
    for moment in ("2027-02-28 10:00", "2027-03-31 10:00", "2027-04-30 09:59"):
        till.now = at(moment)
        await rounds.grant_free_months(till.desk)
        await rounds.end_expired_credits(till.desk)
    days = ["2027-01-31", "2027-02-28", "2027-03-31"]
    assert [key.rsplit(":")[-1] for (key,) in await till.rows(keys)] == days
    assert await till.credits() == {"free": 500}
    till.now = None
    till.pass_time(days=88, hours=23, minutes=59)
    till.buy(PRO, skip_trial=True)
    await till.settle()
    till.pass_time(minutes=1)
    await rounds.grant_free_months(till.desk)
    assert len(await till.rows(keys)) == 3


async def test_who_took_a_plan_since_the_round_began_gets_no_free_month(till: Till) -> None:
    till.buy(PRO, skip_trial=True)
    await till.settle()
    async with till.billing.begin() as session:
        await rounds.give_free_month(session, till.user_id, at("2027-02-28 10:00"))
    assert await till.rows("SELECT count(*) FROM credits.grants WHERE kind = 'free'") == [(1,)]


async def test_credits_end_when_their_time_has_passed(till: Till) -> None:
    till.now = at("2027-02-28 09:59:59")
    await rounds.end_expired_credits(till.desk)
    assert await till.credits() == {"free": 500}
    till.now = at("2027-02-28 10:00")
    await rounds.end_expired_credits(till.desk)
    assert await till.credits() == {}


async def test_holds_that_nobody_settles_are_given_back(till: Till) -> None:
    await till.spend(200_000, expires_at=till.clock() + timedelta(hours=1))
    assert await till.credits() == {"free": 300}
    await rounds.release_lost_holds(till.desk)
    assert await till.credits() == {"free": 300}
    till.now = till.clock() + timedelta(hours=1)
    await rounds.release_lost_holds(till.desk)
    assert await till.credits() == {"free": 500}


async def test_a_ledger_that_does_not_add_up_raises_the_gauge(till: Till) -> None:
    await rounds.check_ledger(till.desk)
    assert REGISTRY.get_sample_value("easel_ledger_findings") == 0
    async with till.admin.begin() as session:
        await session.execute(text("UPDATE credits.pockets SET remaining = remaining + 1"))
    await rounds.check_ledger(till.desk)
    assert (REGISTRY.get_sample_value("easel_ledger_findings") or 0) > 0
