"""The daily comparison with the provider: a running double whose webhooks nobody delivers."""

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
from tests.services.payment.shop import payment_settings
from tests.services.payment.till import PRO, SMALL_PACK, STARTER, Till, open_till

SessionsOf = Callable[[str], Sessions]


@pytest.fixture
async def till(sessions: SessionsOf) -> Till:
    return await open_till(sessions)


def provider_of(double: DoubleClient) -> LemonSqueezy:
    """Our client of a running double."""
    settings = payment_settings(
        lemon_squeezy_api_url=double.api_url,
        lemon_squeezy_api_key=double.settings.api_key,
        lemon_squeezy_store_id=str(double.settings.store_id),
    )
    return LemonSqueezy(httpx.AsyncClient(trust_env=False), settings)


def whose(till: Till) -> dict[str, str]:
    """What our checkout tells the provider."""
    return {"user_id": str(till.user_id)}


async def agree_on_the_time(till: Till, double: DoubleClient) -> None:
    """The provider's clock goes to ours."""
    till.now = till.clock()
    await double.advance(seconds=(till.now - await double.now()).total_seconds())


async def buy_without_webhooks(till: Till, double: DoubleClient) -> str:
    """The store sells, and nobody tells us."""
    await agree_on_the_time(till, double)
    await double.hold()
    made = await double.buy(PRO, email="ada@example.com", custom=whose(till), skip_trial=True)
    assert made.subscription_id is not None
    return made.subscription_id


RUN = "SELECT compared, repaired FROM billing.reconciliation"
AUDIT = "SELECT action, user_id FROM ops.audit_log WHERE actor = 'reconciliation'"


async def test_what_no_webhook_told_is_found_within_a_day(
    till: Till, lemon_squeezy: DoubleClient
) -> None:
    """An unknown subscription waits for an admin; from then on its drift repairs itself."""
    subscription = await buy_without_webhooks(till, lemon_squeezy)
    provider = provider_of(lemon_squeezy)
    before = REGISTRY.get_sample_value("easel_reconciliation_repairs_total") or 0
    await rounds.reconcile_daily(till.desk, provider)
    problem = "unknown-user: the event names no user; found by the reconciliation"
    assert await till.inbox() == [
        ("subscription_updated", "stuck", problem),
        ("subscription_payment_success", "stuck", problem),
    ]
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
    assert await till.letters() == {"receipt", "cancelled"}
    after = REGISTRY.get_sample_value("easel_reconciliation_repairs_total") or 0
    assert after - before == 3
    last = REGISTRY.get_sample_value("easel_reconciliation_last_success_timestamp_seconds")
    assert last == till.clock().timestamp()

    till.now = till.clock() + timedelta(days=1)
    await rounds.reconcile_daily(till.desk, provider)
    assert REGISTRY.get_sample_value("easel_reconciliation_repairs_total") == after
    assert await till.rows(RUN) == [(2, 0)]


async def assign_everything(till: Till) -> None:
    """An admin says whose the stuck entries are."""
    release = "UPDATE billing.inbox SET user_id = :user, state = 'pending', problem = NULL"
    async with till.admin.begin() as session:
        await session.execute(text(release), {"user": till.user_id})
    await apply_pending(till.desk)


async def test_the_reconciliation_finds_nothing_new_where_webhooks_came(
    till: Till, lemon_squeezy: DoubleClient
) -> None:
    subscription = await buy_without_webhooks(till, lemon_squeezy)
    (invoice,) = await lemon_squeezy.find("subscription-invoices", subscription_id=subscription)
    await lemon_squeezy.refund("subscription-invoices", invoice["id"], 1_500)
    await lemon_squeezy.buy(SMALL_PACK, email="ada@example.com", custom=whose(till))
    await till.receive(sent.body.encode() for sent in await lemon_squeezy.deliveries())
    await apply_pending(till.desk)
    await rounds.reconcile_daily(till.desk, provider_of(lemon_squeezy))
    assert await till.rows(RUN) == [(3, 0)]
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
    await agree_on_the_time(till, lemon_squeezy)
    await lemon_squeezy.buy(STARTER, email="eve@example.com", skip_trial=True)
    for _ in range(2):
        await rounds.reconcile_daily(till.desk, provider_of(lemon_squeezy))
        till.now = till.clock() + timedelta(days=1)
    assert len(await till.inbox()) == 2  # the subscription and its invoice


async def test_packs_and_refunds_that_no_webhook_told_are_repaired(
    till: Till, lemon_squeezy: DoubleClient
) -> None:
    """Of a customer who is known from something bought before."""
    subscription = await buy_without_webhooks(till, lemon_squeezy)
    await till.receive(sent.body.encode() for sent in await lemon_squeezy.deliveries())
    await apply_pending(till.desk)
    pack = await lemon_squeezy.buy(SMALL_PACK, email="ada@example.com", custom=whose(till))
    (invoice,) = await lemon_squeezy.find("subscription-invoices", subscription_id=subscription)
    await lemon_squeezy.refund("subscription-invoices", invoice["id"])
    await rounds.reconcile_daily(till.desk, provider_of(lemon_squeezy))
    assert await till.credits() == {"free": 500, "top_up": 1_000}
    assert await till.letters() == {"receipt", "refund", "topup"}
    lines = {action for action, _ in await till.rows(AUDIT)}
    assert lines == {"invoice.repaired", "order.repaired"}

    await lemon_squeezy.refund("orders", pack.order_id)
    till.now = till.clock() + timedelta(days=1)
    await rounds.reconcile_daily(till.desk, provider_of(lemon_squeezy))
    assert await till.credits() == {"free": 500}


async def test_what_is_older_than_a_month_is_not_asked_for(
    till: Till, lemon_squeezy: DoubleClient
) -> None:
    await buy_without_webhooks(till, lemon_squeezy)
    await lemon_squeezy.advance(days=27)
    till.now = till.clock() + timedelta(days=36)
    await rounds.reconcile_daily(till.desk, provider_of(lemon_squeezy))
    assert [event for event, _, _ in await till.inbox()] == ["subscription_updated"]
