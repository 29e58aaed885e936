"""A customer is erased: nothing renews, the books still add up, and nobody is named in them."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from libs.auth.signing_keys import SigningKeys
from libs.credits.audit import ledger_check
from libs.credits.ledger import hold_credits, settle_hold
from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.kernel.ids import new_id
from libs.privacy.owners import Owner, OwnerAway, ServiceTokens
from libs.testkit.lemon_squeezy.books import sign
from libs.testkit.postgres import Database
from services.payment.rounds import grant_free_months, settle_due_users, tell_who_is_charged_twice
from services.payment.service.reconciliation import all_facts, reconcile
from tests.services.callers import Caller
from tests.services.owners import exported
from tests.services.payment.storefront import WEBHOOKS, Storefront

# Every text of every billing table, one row a line.
TEXTS = """
    SELECT t.row FROM (
        SELECT to_jsonb(i) || jsonb_build_object('body', convert_from(i.body, 'UTF8')) AS row
            FROM billing.inbox i
        UNION ALL SELECT to_jsonb(t) FROM billing.observations t
        UNION ALL SELECT to_jsonb(t) FROM billing.subscriptions t
        UNION ALL SELECT to_jsonb(t) FROM billing.invoices t
        UNION ALL SELECT to_jsonb(t) FROM billing.orders t
        UNION ALL SELECT to_jsonb(t) FROM ops.entitlements t
        UNION ALL SELECT to_jsonb(t) FROM credits.spend_caps t
    ) t
"""


@pytest.fixture
def owner(shop: Storefront, tmp_path: Path) -> Owner:
    """The user service's door to the shop."""
    keys = SigningKeys(tmp_path / "keys")
    tokens = ServiceTokens("user", "easel", lambda: keys.current(utc_now()), utc_now)
    return Owner("payment", "http://pay", shop.api, tokens)


@pytest.fixture
async def ada(shop: Storefront) -> Caller:
    """Somebody with a paid plan, a pack of credits and a cap."""
    customer = await shop.customer("ada")
    await shop.subscribe(customer, "pro")
    await shop.buy(customer, pack="small")
    cap = {"period": "day", "limit_millicredits": 9_000}
    assert (await customer.put("/api/v1/credits/spend-caps", cap)).status_code < 300
    return customer


async def texts(shop: Storefront) -> str:
    return json.dumps(await shop.rows(TEXTS), default=str)


async def status_at_provider(shop: Storefront) -> list[str]:
    found = await shop.provider.find("subscriptions")
    return [subscription["attributes"]["status"] for subscription in found]


async def assert_balanced(shop: Storefront) -> None:
    async with shop.app.state.billing_sessions.begin() as session:
        assert await ledger_check(session) == []


async def amounts(shop: Storefront, user_id: UUID) -> dict[str, Any]:
    """What the books say."""
    books = {
        "invoices": "SELECT provider_id, status, total_cents, refunded_cents, currency, created_at"
        " FROM billing.invoices WHERE user_id = :user ORDER BY 1",
        "orders": "SELECT provider_id, pack, status, total_cents, refunded_cents, created_at"
        " FROM billing.orders WHERE user_id = :user ORDER BY 1",
    }
    return {name: await shop.rows(query, user=user_id) for name, query in books.items()}


async def test_everything_that_billing_knows_is_exported(
    shop: Storefront, ada: Caller, owner: Owner
) -> None:
    found = await exported(owner, ada.id)
    assert [row["user_email"] for row in found["subscriptions"]] == ["ada@example.com"]
    assert {row["status"] for row in found["subscription_history"]} >= {"on_trial", "active"}
    assert 7_500 in [row["total_cents"] for row in found["invoices"]]
    assert [row["pack"] for row in found["orders"] if row["pack"]] == ["small"]
    assert any("ada@example.com" in row["body"] for row in found["webhooks"])
    assert {row["kind"] for row in found["credit_grants"]} >= {"free", "plan", "top_up"}
    assert found["credit_transfers"] and found["credit_account"][0]["user_id"] == str(ada.id)
    assert [row["tier"] for row in found["plan"]] == ["pro"]
    assert len(found["spend_caps"]) == 1


async def test_nobody_is_named_afterwards_and_the_amounts_stay(
    shop: Storefront, ada: Caller, owner: Owner
) -> None:
    before = await amounts(shop, ada.id)
    assert "ada@example.com" in await texts(shop)
    assert await owner.erase(ada.id) is None
    assert await status_at_provider(shop) == ["cancelled"]
    left = await texts(shop)
    for mark in ("ada@example.com", "visa", "http", '"ada"'):
        assert mark not in left
    assert await amounts(shop, ada.id) == before
    assert all(before.values())
    await assert_balanced(shop)
    assert await shop.rows("SELECT available, held FROM credits.balances") == []
    assert await owner.erase(ada.id) is None
    closed = "SELECT count(*) FROM ops.audit_log WHERE action = 'credits.account_closed'"
    assert await shop.rows(closed) == [(1,)]


async def test_another_customer_is_as_before(shop: Storefront, ada: Caller, owner: Owner) -> None:
    eve = await shop.customer("eve")
    await shop.subscribe(eve, "starter")
    current, credits = await shop.current(eve), await shop.credits(eve)
    facts = await exported(owner, eve.id)
    assert await owner.erase(ada.id) is None
    assert (await shop.current(eve), await shop.credits(eve)) == (current, credits)
    assert await exported(owner, eve.id) == facts
    assert sorted(await status_at_provider(shop)) == ["active", "cancelled"]


async def test_what_is_told_later_brings_nobody_back(
    shop: Storefront, ada: Caller, owner: Owner
) -> None:
    """The cancellation, the end, a refund, and the daily comparison all come after the erasure."""
    assert await owner.erase(ada.id) is None
    emails = await shop.rows("SELECT count(*) FROM ops.emails")
    await shop.tell()
    invoice = max(await shop.provider.find("subscription-invoices"), key=lambda one: int(one["id"]))
    await shop.provider.refund("subscription-invoices", invoice["id"])
    await shop.advance(days=40)
    await settle_due_users(shop.desk)
    await grant_free_months(shop.desk)
    await tell_who_is_charged_twice(shop.desk)
    await reconcile(shop.desk, all_facts(shop.app.state.lemon_squeezy, shop.clock()))
    left = await texts(shop)
    for mark in ("ada@example.com", "visa", "http", '"ada"'):
        assert mark not in left
    refunded = "SELECT refunded_cents FROM billing.invoices WHERE provider_id = :invoice"
    assert await shop.rows(refunded, invoice=invoice["id"]) == [(7_500,)]
    assert await shop.rows("SELECT available, held FROM credits.balances") == []
    assert await shop.rows("SELECT count(*) FROM ops.emails") == emails
    assert await shop.rows("SELECT state FROM billing.inbox WHERE body IS NOT NULL") == []
    await assert_balanced(shop)


async def test_a_plan_that_is_bought_on_an_old_page_is_cancelled_at_the_next_look(
    shop: Storefront, owner: Owner
) -> None:
    ada = await shop.customer("ada")
    page = (await shop.checkout(ada, plan="pro", interval="month"))["checkout_url"]
    assert await owner.erase(ada.id) is None
    await shop.provider.pay(page)
    await shop.tell()
    assert await status_at_provider(shop) == ["on_trial"]
    assert await shop.rows("SELECT tier FROM ops.entitlements") == []
    assert "ada@example.com" not in await texts(shop)
    assert await owner.erase(ada.id) is None
    assert await status_at_provider(shop) == ["cancelled"]
    assert await shop.rows("SELECT available, held FROM credits.balances") == []


async def test_a_webhook_that_waits_is_applied_first(
    shop: Storefront, ada: Caller, owner: Owner
) -> None:
    body = {
        "meta": {"event_name": "license_key_created", "custom_data": {"user_id": str(ada.id)}},
        "data": {"type": "license-keys", "id": "1", "attributes": {"user_name": "Ada Mark"}},
    }
    raw = json.dumps(body).encode()
    secret = shop.app.state.settings.lemon_squeezy_webhook_secret
    answer = await shop.api.post(WEBHOOKS, content=raw, headers={"X-Signature": sign(secret, raw)})
    assert answer.status_code == 200
    assert await owner.erase(ada.id) == "webhooks that are being applied"
    assert "Ada Mark" in await texts(shop)
    await shop.tell()
    assert await owner.erase(ada.id) is None
    assert "Ada Mark" not in await texts(shop)
    again = await shop.api.post(WEBHOOKS, content=raw, headers={"X-Signature": sign(secret, raw)})
    assert again.json() == {"outcome": "known"}


async def test_credits_that_a_job_holds_are_settled_first(
    shop: Storefront, ada: Caller, owner: Owner, database: Database, sessions: Any
) -> None:
    hold = new_id()
    async with transaction(sessions("generation"), ada.id) as session:
        await hold_credits(session, user_id=ada.id, hold_id=hold, amount=5_000)
    assert await owner.erase(ada.id) == "credits that jobs hold"
    assert (await shop.current(ada))["plan"] == "pro"
    async with transaction(sessions("generation"), ada.id) as session:
        await settle_hold(session, user_id=ada.id, hold_id=hold, captured=2_000)
    assert await owner.erase(ada.id) is None
    await assert_balanced(shop)


async def test_a_provider_that_is_away_keeps_the_step_open(
    shop: Storefront, ada: Caller, owner: Owner
) -> None:
    await shop.provider.faults(status=500)
    with pytest.raises(OwnerAway):
        await owner.erase(ada.id)
    assert "ada@example.com" in await texts(shop)
    assert await owner.erase(ada.id) is None
    assert await status_at_provider(shop) == ["cancelled"]
