"""What must hold when a customer has two subscriptions, or the provider acts by halves."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.exc import InterfaceError

from libs.db.engine import build_engine, build_sessions
from services.payment.desk import Desk
from services.payment.lemon_squeezy.client import LemonSqueezy
from services.payment.problems import BillingUnavailable
from services.payment.rounds import tell_who_is_charged_twice
from services.payment.service.reconciliation import reconcile
from tests.services.callers import Caller, named_fields, problem_of
from tests.services.payment.shop import NOWHERE
from tests.services.payment.storefront import CURRENT, Storefront
from tests.services.payment.test_spend_caps import CAPS, cap

CHANGE = f"{CURRENT}/change"
PRO = {"plan": "pro", "interval": "month"}


async def buy_twice(shop: Storefront, customer: Caller) -> None:
    """Two pages that were open side by side are both paid; both trials are over."""
    pages = [await shop.checkout(customer, **PRO) for _ in range(2)]
    for page in pages:
        await shop.provider.pay(page["checkout_url"])
    await shop.tell()
    await shop.advance(days=7, minutes=1)


async def test_cancelling_twice_cancels_both_subscriptions(shop: Storefront) -> None:
    ada = await shop.customer("ada")
    assert (await shop.current(ada))["other_subscriptions"] == 0
    await buy_twice(shop, ada)
    assert (await shop.current(ada))["other_subscriptions"] == 1
    for left in (["active", "cancelled"], ["cancelled", "cancelled"]):
        answer = await ada.post(f"{CURRENT}/cancel", {})
        assert (answer.status_code, answer.json()["other_subscriptions"]) == (200, 1)
        await shop.tell()
        query = "SELECT status FROM billing.subscriptions ORDER BY 1"
        assert [status for (status,) in await shop.rows(query)] == left
    assert (await shop.current(ada))["subscription"]["status"] == "cancelled"
    await shop.advance(days=32)
    ended = await shop.current(ada)
    assert (ended["subscription"], ended["other_subscriptions"]) == (None, 0)


async def test_a_cap_of_no_key_is_named(ada: Caller) -> None:
    zero = str(UUID(int=0))
    for limit in (0, 1_000, None):
        assert named_fields(await ada.put(CAPS, cap("total", limit, zero))) == ["body.key_id"]
    assert (await ada.get(CAPS)).json() == {"items": []}


async def test_a_user_has_a_hundred_caps(ada: Caller, eve: Caller) -> None:
    keys = [str(uuid4()) for _ in range(100)]
    for key in keys:
        assert (await ada.put(CAPS, cap("day", 1, key))).status_code == 200
    refused = await ada.put(CAPS, cap("day", 1))
    assert named_fields(refused) == ["body"]
    assert "lift one first" in refused.json()["detail"]
    assert (await eve.put(CAPS, cap("day", 1))).status_code == 200
    assert (await ada.put(CAPS, cap("day", 2, keys[0]))).status_code == 200
    assert (await ada.put(CAPS, cap("day", None, keys[0]))).status_code == 200
    assert (await ada.put(CAPS, cap("day", 1))).status_code == 200


def counted(what: str) -> float:
    return REGISTRY.get_sample_value(f"easel_reconciliation_{what}_total") or 0


def provider_with(shop: Storefront, rows: Any) -> LemonSqueezy:
    """A provider that lists these rows on one page."""
    page = {"data": rows, "meta": {"page": {"lastPage": 1}}}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=page))
    return LemonSqueezy(httpx.AsyncClient(transport=transport), shop.app.state.settings)


async def newer_states(shop: Storefront) -> list[dict[str, Any]]:
    """The provider's subscriptions, changed since we last heard of them."""
    rows = await shop.provider.find("subscriptions")
    for row in rows:
        row["attributes"]["updated_at"] = "2031-01-01T00:00:00.000000Z"
    return rows


async def test_a_row_that_cannot_be_read_keeps_no_other_from_being_compared(
    shop: Storefront,
) -> None:
    await shop.buy(await shop.customer("ada"), **PRO)
    (row,) = await newer_states(shop)
    odd = {**row, "id": "999", "attributes": {**row["attributes"], "status": "trial_paused"}}
    before = counted("unreadable")
    theirs = provider_with(shop, [odd, "no object", row]).list_subscriptions()
    outcome = await reconcile(shop.desk, theirs)
    assert (outcome.compared, outcome.repaired) == (1, 1)
    assert counted("unreadable") - before == 2
    with pytest.raises(BillingUnavailable):
        await reconcile(shop.desk, provider_with(shop, "no list").list_subscriptions())


async def test_a_repair_that_fails_keeps_no_other_waiting(shop: Storefront) -> None:
    for name in ("ada", "eve"):
        await shop.buy(await shop.customer(name), **PRO)
    rows = await newer_states(shop)
    rows[0]["attributes"]["user_email"] = "a\u0000@example.com"  # PostgreSQL keeps no such text
    before = counted("failed")
    outcome = await reconcile(shop.desk, provider_with(shop, rows).list_subscriptions())
    assert (outcome.compared, outcome.repaired) == (2, 1)
    assert counted("failed") - before == 1


async def test_a_database_that_is_away_ends_the_comparison(shop: Storefront) -> None:
    await shop.buy(await shop.customer("ada"), **PRO)
    engine = build_engine(NOWHERE, application="test")
    nowhere = Desk(build_sessions(engine), shop.desk.shelf, shop.clock)
    before = counted("failed")
    with pytest.raises((OSError, InterfaceError)):
        await reconcile(nowhere, provider_with(shop, await newer_states(shop)).list_subscriptions())
    assert counted("failed") == before
    await engine.dispose()


@pytest.mark.parametrize(
    ("paid", "asked", "charges"), [("starter", "pro", 1), ("pro", "starter", 0)]
)
async def test_a_change_that_the_provider_made_unheard_is_told_to_who_asks_again(
    shop: Storefront, paid: str, asked: str, charges: int
) -> None:
    ada = await shop.customer("ada")
    await shop.subscribe(ada, paid)
    wish, key = {"plan": asked, "interval": "month"}, {"Idempotency-Key": "change-1"}
    await shop.provider.faults(status=503, after_effect=True)
    lost = await ada.post(CHANGE, wish, **key)
    assert problem_of(lost) == (503, "billing-unavailable")
    await shop.tell()
    assert problem_of(await ada.post(CHANGE, wish)) == (409, "plan-unchanged")
    again = await ada.post(CHANGE, wish, **key)
    assert (again.status_code, again.json()) == (200, await shop.current(ada))
    assert again.json()["subscription"]["plan"] == asked
    invoices = [one["attributes"] for one in await shop.provider.find("subscription-invoices")]
    assert [one["billing_reason"] for one in invoices].count("updated") == charges
    replayed = await ada.post(CHANGE, wish, **key)
    assert replayed.headers["idempotency-replayed"] == "true"


class Breaking(httpx.AsyncBaseTransport):
    """A network that loses some of our calls, counted from 1, or their answers."""

    def __init__(self, calls: set[int], *, answers: bool = False) -> None:
        self.inner, self.calls, self.answers = httpx.AsyncHTTPTransport(), calls, answers
        self.count = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        is_lost = self.count in self.calls
        if is_lost and not self.answers:
            raise httpx.ReadTimeout("lost", request=request)
        answer = await self.inner.handle_async_request(request)
        if is_lost:
            await answer.aclose()
            raise httpx.ReadTimeout("lost", request=request)
        return answer

    async def aclose(self) -> None:
        await self.inner.aclose()


async def ask_for_a_year(
    shop: Storefront, network: Breaking
) -> tuple[httpx.Response, dict[str, Any]]:
    """Studio paid for, starter waiting, a year of studio asked for: two steps at the provider.
    The answer, and the subscription after all webhooks."""
    ada = await shop.customer("ada")
    await shop.subscribe(ada, "studio")
    await ada.post(CHANGE, {"plan": "starter", "interval": "month"})
    async with httpx.AsyncClient(transport=network) as http:
        shop.app.state.lemon_squeezy = LemonSqueezy(http, shop.app.state.settings)
        answer = await ada.post(CHANGE, {"plan": "studio", "interval": "year"})
    assert (await shop.current(ada))["plan"] == "studio"
    await shop.tell()
    return answer, (await shop.current(ada))["subscription"]


def plans(subscription: dict[str, Any]) -> tuple[str, str, str]:
    return subscription["plan"], subscription["plan_now"], subscription["interval"]


AUDIT = "SELECT action FROM ops.audit_log WHERE action LIKE 'subscription.%' ORDER BY id"


async def actions(shop: Storefront) -> list[str]:
    return [action for (action,) in await shop.rows(AUDIT)]


async def test_a_change_whose_second_step_fails_is_taken_back(shop: Storefront) -> None:
    answer, subscription = await ask_for_a_year(shop, Breaking({2}))
    assert problem_of(answer) == (503, "billing-unavailable")
    assert plans(subscription) == ("starter", "studio", "month")
    assert await actions(shop) == ["subscription.changed", "subscription.change_undone"]
    invoices = [one["attributes"] for one in await shop.provider.find("subscription-invoices")]
    assert "updated" not in {one["billing_reason"] for one in invoices}


async def test_a_second_step_that_was_made_unheard_is_kept(shop: Storefront) -> None:
    answer, subscription = await ask_for_a_year(shop, Breaking({2}, answers=True))
    assert answer.status_code == 200
    assert plans(subscription) == ("studio", "studio", "year")
    assert await actions(shop) == ["subscription.changed"] * 3


@pytest.mark.parametrize("lost", [{2, 3}, {2, 4}])
async def test_a_change_that_stays_half_done_is_written_down(
    shop: Storefront, lost: set[int]
) -> None:
    answer, subscription = await ask_for_a_year(shop, Breaking(lost))
    assert problem_of(answer) == (503, "billing-unavailable")
    assert plans(subscription) == ("studio", "studio", "month")
    assert await actions(shop) == ["subscription.changed", "subscription.change_half_done"]


async def test_two_subscriptions_are_measured_and_told_once(shop: Storefront) -> None:
    def measured() -> float | None:
        return REGISTRY.get_sample_value("easel_billing_duplicate_subscriptions")

    letters = "SELECT key FROM ops.emails WHERE key LIKE 'duplicate:%'"
    ada, eve = await shop.customer("ada"), await shop.customer("eve")
    await shop.buy(eve, **PRO)
    await tell_who_is_charged_twice(shop.desk)
    assert (measured(), await shop.rows(letters)) == (0, [])
    await buy_twice(shop, ada)
    newest = max(int(row["id"]) for row in await shop.provider.find("subscriptions"))
    for _ in range(2):
        await tell_who_is_charged_twice(shop.desk)
        assert (measured(), await shop.rows(letters)) == (1, [(f"duplicate:{newest}",)])
    addressed = f"SELECT user_id FROM ops.emails WHERE key = 'duplicate:{newest}'"
    assert await shop.rows(addressed) == [(ada.id,)]
    await ada.post(f"{CURRENT}/cancel", {})
    await tell_who_is_charged_twice(shop.desk)
    assert measured() == 0
