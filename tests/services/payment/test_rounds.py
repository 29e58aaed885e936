"""What billing does by the clock."""

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.testkit.lemon_squeezy.client import DoubleClient
from services.payment import rounds
from services.payment.inbox_worker import apply_pending
from services.payment.lemon_squeezy.client import LemonSqueezy
from services.payment.problems import BillingUnavailable
from tests.services.payment.lives import at
from tests.services.payment.shop import payment_settings
from tests.services.payment.till import PRO, STARTER, Till, open_till

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


def provider_of(double: DoubleClient) -> LemonSqueezy:
    """Our client of a running double."""
    settings = payment_settings(
        lemon_squeezy_api_url=double.api_url,
        lemon_squeezy_api_key=double.settings.api_key,
        lemon_squeezy_store_id=str(double.settings.store_id),
    )
    return LemonSqueezy(httpx.AsyncClient(trust_env=False), settings)


async def buy_without_webhooks(till: Till, double: DoubleClient) -> str:
    """The store sells, and nobody tells us."""
    till.now = till.clock()
    await double.advance(seconds=(till.now - await double.now()).total_seconds())
    await double.hold()
    custom = {"user_id": str(till.user_id)}
    made = await double.buy(PRO, email="ada@example.com", custom=custom, skip_trial=True)
    assert made.subscription_id is not None
    return made.subscription_id


AUDIT = "SELECT action, user_id FROM ops.audit_log WHERE actor = 'reconciliation'"


async def test_what_no_webhook_told_is_found_within_a_day(
    till: Till, lemon_squeezy: DoubleClient
) -> None:
    """An unknown subscription waits for an admin; from then on its drift repairs itself."""
    subscription = await buy_without_webhooks(till, lemon_squeezy)
    provider = provider_of(lemon_squeezy)
    before = REGISTRY.get_sample_value("easel_reconciliation_repairs_total") or 0
    await rounds.reconcile_daily(till.desk, provider)
    problem = "unknown-user: found by the reconciliation"
    assert await till.inbox() == [("subscription_updated", "stuck", problem)]
    await assign_everything(till)
    assert (await till.tier(), (await till.credits())["plan"]) == ("pro", 15_000)

    await lemon_squeezy.change(subscription, cancelled=True)
    till.now = till.clock() + timedelta(hours=23)
    await rounds.reconcile_daily(till.desk, provider)  # not due
    assert await till.rows("SELECT status FROM billing.subscriptions") == [("active",)]
    till.now = till.clock() + timedelta(hours=1)
    await rounds.reconcile_daily(till.desk, provider)
    assert await till.rows("SELECT status FROM billing.subscriptions") == [("cancelled",)]
    assert await till.rows(AUDIT) == [("subscription.repaired", till.user_id)]
    assert await till.letters() == {"cancelled"}
    after = REGISTRY.get_sample_value("easel_reconciliation_repairs_total") or 0
    assert after - before == 2
    last = REGISTRY.get_sample_value("easel_reconciliation_last_success_timestamp_seconds")
    assert last == till.clock().timestamp()

    till.now = till.clock() + timedelta(days=1)
    await rounds.reconcile_daily(till.desk, provider)
    assert REGISTRY.get_sample_value("easel_reconciliation_repairs_total") == after
    run = "SELECT compared, repaired FROM billing.reconciliation"
    assert await till.rows(run) == [(1, 0)]


async def assign_everything(till: Till) -> None:
    """An admin says whose the stuck entries are."""
    release = "UPDATE billing.inbox SET user_id = :user, state = 'pending', problem = NULL"
    async with till.admin.begin() as session:
        await session.execute(text(release), {"user": till.user_id})
    await apply_pending(till.desk)


async def test_the_reconciliation_finds_nothing_new_where_webhooks_came(
    till: Till, lemon_squeezy: DoubleClient
) -> None:
    await buy_without_webhooks(till, lemon_squeezy)
    await till.receive(sent.body.encode() for sent in await lemon_squeezy.deliveries())
    await apply_pending(till.desk)
    await rounds.reconcile_daily(till.desk, provider_of(lemon_squeezy))
    run = "SELECT compared, repaired FROM billing.reconciliation"
    assert await till.rows(run) == [(1, 0)]
    assert await till.rows(AUDIT) == []


async def test_a_provider_that_is_away_is_asked_again_in_ten_minutes(till: Till) -> None:
    nobody = LemonSqueezy(httpx.AsyncClient(trust_env=False), payment_settings())
    with pytest.raises(BillingUnavailable):
        await rounds.reconcile_daily(till.desk, nobody)
    await rounds.reconcile_daily(till.desk, nobody)  # not due: asks nobody
    till.now = till.clock() + timedelta(minutes=10)
    with pytest.raises(BillingUnavailable):
        await rounds.reconcile_daily(till.desk, nobody)


async def test_another_shops_subscription_is_kept_apart(
    till: Till, lemon_squeezy: DoubleClient
) -> None:
    """One for somebody unknown, with every day the same content: kept once."""
    await lemon_squeezy.buy(STARTER, email="eve@example.com", skip_trial=True)
    for _ in range(2):
        await rounds.reconcile_daily(till.desk, provider_of(lemon_squeezy))
        till.now = till.clock() + timedelta(days=1)
    assert len(await till.inbox()) == 1
