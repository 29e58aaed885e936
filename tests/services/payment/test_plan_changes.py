"""A preview tells exactly what the change then does: to plan, credits and money."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from libs.credits.audit import ledger_check
from tests.services.callers import Caller, problem_of
from tests.services.payment.storefront import CURRENT, Storefront

CHANGE = f"{CURRENT}/change"
PREVIEW = f"{CURRENT}/change-preview"


def plan(name: str, interval: str = "month") -> dict[str, str]:
    return {"plan": name, "interval": interval}


@pytest.fixture
async def ada(shop: Storefront) -> Caller:
    """A customer with a pack of 1,000 credits."""
    customer = await shop.customer("ada")
    await shop.buy(customer, pack="small")
    return customer


async def total(shop: Storefront, customer: Caller) -> int:
    """All milli-credits that can be spent."""
    answer = await customer.get("/api/v1/credits/balance")
    return int(answer.json()["available_millicredits"])


async def charged(shop: Storefront) -> list[tuple[str, int]]:
    """What the provider charged, newest first: the reason, and cents."""
    invoices = [one["attributes"] for one in await shop.provider.find("subscription-invoices")]
    return [(invoice["billing_reason"], invoice["total"]) for invoice in invoices]


async def change_as_previewed(
    shop: Storefront, customer: Caller, wish: dict[str, str]
) -> dict[str, Any]:
    """Preview, change, and compare the credits at once and after all webhooks; the preview."""
    before = await total(shop, customer)
    answer = await customer.post(PREVIEW, wish)
    assert answer.status_code == 200, answer.text
    preview: dict[str, Any] = answer.json()
    changed = await customer.post(CHANGE, wish)
    assert changed.status_code == 200, changed.text
    expected = before - preview["lost_millicredits"] + preview["granted_millicredits"]
    for _ in range(2):
        assert await total(shop, customer) == expected
        assert await shop.current(customer) == changed.json()
        await shop.tell()
    subscription = changed.json()["subscription"]
    assert (subscription["plan"], subscription["interval"]) == (wish["plan"], wish["interval"])
    async with shop.app.state.billing_sessions() as session:
        assert await ledger_check(session) == []
    return preview


async def test_up_is_at_once_and_unspent_plan_credits_are_replaced(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "starter")
    await shop.advance(days=10)
    preview = await change_as_previewed(shop, ada, plan("pro"))
    assert preview["takes_effect"] == "now"
    assert datetime.fromisoformat(preview["effective_at"]) == shop.clock.now
    assert (preview["lost_credits"], preview["granted_credits"]) == ("5000", "15000")
    assert preview["kept_millicredits"] >= 1_000_000
    assert (preview["from_plan"]["price_cents"], preview["to_plan"]["price_cents"]) == (
        2_500,
        7_500,
    )
    assert (await shop.credits(ada))["plan"] == 15_000
    assert (await shop.credits(ada))["top_up"] == 1_000
    assert (await shop.current(ada))["plan"] == "pro"
    (reason, cents) = (await charged(shop))[0]
    assert reason == "updated"
    assert abs(cents - preview["estimated_proration_cents"]) <= 1
    assert 0 < cents < 5_000
    assert "15000 credits come at once" in preview["summary"]


async def test_down_waits_for_the_end_of_the_period_and_loses_nothing(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "pro")
    renews_at = (await shop.current(ada))["subscription"]["renews_at"]
    invoices = await charged(shop)
    preview = await change_as_previewed(shop, ada, plan("starter"))
    assert preview["takes_effect"] == "at_period_end"
    assert preview["effective_at"] == preview["next_charge_at"] == renews_at
    nothing = ("lost_millicredits", "granted_millicredits", "estimated_proration_cents")
    assert [preview[name] for name in nothing] == [0, 0, 0]
    assert preview["next_charge_cents"] == 2_500
    waiting = (await shop.current(ada))["subscription"]
    assert (waiting["plan"], waiting["plan_now"]) == ("starter", "pro")
    assert (await shop.current(ada))["plan"] == "pro"
    assert (await shop.credits(ada))["plan"] == 15_000
    assert await charged(shop) == invoices
    assert problem_of(await ada.post(PREVIEW, plan("starter"))) == (409, "plan-unchanged")
    await shop.advance(days=32)
    assert (await shop.current(ada))["plan"] == "starter"
    assert (await shop.credits(ada))["plan"] == 5_000
    assert (await charged(shop))[0] == ("renewal", 2_500)


async def test_a_waiting_downgrade_is_taken_back_free_of_charge(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "pro")
    invoices = await charged(shop)
    await change_as_previewed(shop, ada, plan("starter"))
    await shop.advance(days=5)
    preview = await change_as_previewed(shop, ada, plan("pro"))
    assert (preview["estimated_proration_cents"], preview["granted_millicredits"]) == (0, 0)
    assert await charged(shop) == invoices
    await shop.advance(days=32)
    assert (await charged(shop))[0] == ("renewal", 7_500)
    assert (await shop.current(ada))["plan"] == "pro"


async def test_up_from_a_waiting_downgrade_costs_the_difference_to_what_was_paid(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "pro")
    await change_as_previewed(shop, ada, plan("starter"))
    await shop.advance(days=15)
    preview = await change_as_previewed(shop, ada, plan("studio"))
    assert preview["from_plan"]["plan"] == "pro"
    cents = (await charged(shop))[0][1]
    assert abs(cents - preview["estimated_proration_cents"]) <= 1
    assert cents < 7_500  # studio less pro, for half a month
    assert (await shop.credits(ada))["plan"] == 30_000


async def test_from_months_to_years_is_a_new_period_from_now(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "pro")
    await shop.advance(days=10)
    preview = await change_as_previewed(shop, ada, plan("pro", "year"))
    assert (preview["takes_effect"], preview["lost_credits"]) == ("now", "15000")
    assert preview["granted_credits"] == "15000"
    cents = (await charged(shop))[0][1]
    assert abs(cents - preview["estimated_proration_cents"]) <= 1
    assert 67_500 < cents < 75_000  # a year less what was left of the month
    renews_at = (await shop.current(ada))["subscription"]["renews_at"]
    assert renews_at[:10] == preview["next_charge_at"][:10]
    granted = datetime.fromisoformat(preview["granted_expire_at"])
    assert 27 <= (granted - shop.clock.now).days <= 31


async def test_a_year_runs_to_its_end_and_can_grow(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "starter", "year")
    await shop.advance(days=100)
    for path in (PREVIEW, CHANGE):
        for tier in ("starter", "studio"):  # back and forth: a month's credits each time
            assert problem_of(await ada.post(path, plan(tier))) == (409, "change-not-offered")
    preview = await change_as_previewed(shop, ada, plan("studio", "year"))
    assert preview["takes_effect"] == "now"
    # 265 of 365 days of the difference of 1,250 dollars
    assert 89_000 < preview["estimated_proration_cents"] < 92_000
    assert (await shop.credits(ada))["plan"] == 30_000


async def test_down_with_another_interval_is_not_one_step(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "pro")
    for path in (PREVIEW, CHANGE):
        answer = await ada.post(path, plan("starter", "year"))
        assert problem_of(answer) == (409, "change-not-offered")
    assert (await shop.current(ada))["subscription"]["plan"] == "pro"


async def test_up_in_a_trial_costs_nothing_and_gives_no_more_credits(
    shop: Storefront, ada: Caller
) -> None:
    await shop.buy(ada, **plan("starter"))
    invoices = await charged(shop)
    preview = await change_as_previewed(shop, ada, plan("pro"))
    assert (preview["lost_credits"], preview["granted_credits"]) == ("0", "0")
    assert preview["estimated_proration_cents"] == 0
    assert preview["next_charge_cents"] == 7_500
    assert await charged(shop) == invoices
    trial = (await shop.current(ada))["subscription"]
    assert (trial["status"], preview["next_charge_at"]) == ("on_trial", trial["trial_ends_at"])


async def test_down_in_a_trial_waits_for_its_end(shop: Storefront, ada: Caller) -> None:
    await shop.buy(ada, **plan("pro"))
    preview = await change_as_previewed(shop, ada, plan("starter"))
    trial = (await shop.current(ada))["subscription"]
    assert preview["effective_at"] == trial["trial_ends_at"]
    assert (trial["plan"], trial["plan_now"]) == ("starter", "pro")
    await shop.advance(days=8)
    assert (await shop.current(ada))["plan"] == "starter"


async def test_a_preview_changes_nothing_and_asks_nobody(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "starter")
    before = (await shop.current(ada), await total(shop, ada), await charged(shop))
    await shop.provider.faults(status=500)
    for _ in range(3):
        assert (await ada.post(PREVIEW, plan("studio"))).status_code == 200
    await shop.provider.faults(count=0)
    assert (await shop.current(ada), await total(shop, ada), await charged(shop)) == before


async def test_a_repeated_key_changes_once(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "starter")
    key = {"Idempotency-Key": "change-1"}
    first = await ada.post(CHANGE, plan("pro"), **key)
    second = await ada.post(CHANGE, plan("pro"), **key)
    assert second.json() == first.json()
    assert second.headers["idempotency-replayed"] == "true"
    other = await ada.post(CHANGE, plan("studio"), **key)
    assert problem_of(other) == (422, "idempotency-key-reused")
    without = await ada.post(CHANGE, plan("pro"))
    assert problem_of(without) == (409, "plan-unchanged")
    assert [reason for reason, _ in await charged(shop)].count("updated") == 1


async def test_a_change_that_failed_half_way_is_asked_for_again(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "starter")
    key = {"Idempotency-Key": "change-1"}
    await shop.provider.faults(status=500, after_effect=True)
    away = await ada.post(CHANGE, plan("pro"), **key)
    assert problem_of(away) == (503, "billing-unavailable")
    assert (await shop.current(ada))["plan"] == "starter"
    again = await ada.post(CHANGE, plan("pro"), **key)
    assert again.json()["plan"] == "pro"
    await shop.tell()
    assert (await shop.credits(ada))["plan"] == 15_000
    assert [reason for reason, _ in await charged(shop)].count("updated") == 1


async def test_changes_at_once_end_in_one_plan_and_one_grant(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "starter")
    answers = await asyncio.gather(*(ada.post(CHANGE, plan("pro")) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert any(answer.status_code == 200 for answer in answers)
    await shop.tell()
    assert (await shop.credits(ada))["plan"] == 15_000
    async with shop.app.state.billing_sessions() as session:
        assert await ledger_check(session) == []


async def test_an_upgrade_whose_charge_fails_gives_nothing_until_it_is_paid(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "starter")
    (subscription,) = await shop.provider.find("subscriptions")
    await shop.provider.fail_next(subscription["id"], 1)
    changed = (await ada.post(CHANGE, plan("pro"))).json()
    assert changed["plan"] == "starter"  # for the days of grace
    assert changed["subscription"]["status"] == "past_due"
    assert (changed["subscription"]["plan"], changed["subscription"]["plan_now"]) == (
        "pro",
        "starter",
    )
    await shop.tell()
    assert (await shop.credits(ada))["plan"] == 5_000
    await shop.provider.act(subscription["id"], "recover")
    await shop.tell()
    assert (await shop.current(ada))["plan"] == "pro"
    assert (await shop.credits(ada))["plan"] == 15_000
