"""Buying: a checkout page at the provider's double, and what follows when it is paid."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from libs.kernel.ids import new_id
from libs.web.pagination import encode_cursor
from services.payment.service.checkout import may_return_to
from tests.services.callers import Caller, named_fields, problem_of, walk
from tests.services.payment.storefront import Storefront

CHECKOUT = "/api/v1/payments/checkout"
INVOICES = "/api/v1/payments/invoices"
ORDERS = "/api/v1/payments/orders"
PRO = {"plan": "pro", "interval": "month"}


@pytest.fixture
async def ada(shop: Storefront) -> Caller:
    return await shop.customer("ada")


@pytest.fixture
async def eve(shop: Storefront) -> Caller:
    """Somebody else."""
    return await shop.customer("eve")


async def attributes(shop: Storefront) -> list[dict[str, Any]]:
    """Every checkout that the provider was asked for, newest first."""
    return [found["attributes"] for found in await shop.provider.find("checkouts")]


async def test_a_plan_is_sold_on_a_page_that_knows_who_buys(shop: Storefront, ada: Caller) -> None:
    answer = await ada.post(CHECKOUT, {**PRO, "return_url": "https://example.com/thanks?x=1"})
    body = answer.json()
    assert answer.status_code == 201
    (made,) = await attributes(shop)
    assert made["url"] == body["checkout_url"]
    assert made["variant_id"] == 1011
    assert made["product_options"]["redirect_url"] == "https://example.com/thanks?x=1"
    assert made["product_options"]["enabled_variants"] == [1011]
    assert made["checkout_data"]["email"] == "ada@example.com"
    assert made["checkout_data"]["custom"] == {"user_id": str(ada.id)}
    assert made["checkout_options"]["skip_trial"] is False
    expires_at = (shop.clock.now + timedelta(hours=24)).replace(microsecond=0)
    assert body["expires_at"] == expires_at.isoformat().replace("+00:00", "Z")


async def test_a_paid_plan_begins_with_its_trial(shop: Storefront, ada: Caller) -> None:
    assert await shop.credits(ada) == {"free": 500}
    await shop.buy(ada, **PRO)
    # a quarter of 15,000
    assert (await shop.credits(ada))["trial"] == 3_750
    assert (await shop.current(ada))["plan"] == "pro"
    (order,) = await walk(ada, ORDERS)
    assert (order["pack"], order["total_cents"], order["status"]) == (None, 0, "paid")


async def test_a_pack_is_credited_once_and_kept(shop: Storefront, ada: Caller) -> None:
    await shop.buy(ada, pack="small")
    await shop.tell()
    assert (await shop.credits(ada))["top_up"] == 1_000
    (order,) = await walk(ada, ORDERS)
    assert (order["pack"], order["total_cents"], order["currency"]) == ("small", 600, "USD")
    assert order["receipt_url"].startswith(shop.provider.base_url)
    assert await walk(ada, INVOICES) == []
    assert (await shop.current(ada))["plan"] == "free"


async def test_who_had_a_trial_pays_at_once(shop: Storefront, ada: Caller) -> None:
    await shop.buy(ada, **PRO)
    assert (await ada.post("/api/v1/subscriptions/current/cancel")).status_code == 200
    await shop.advance(days=8)
    await shop.buy(ada, plan="starter", interval="year")
    assert (await attributes(shop))[0]["checkout_options"]["skip_trial"] is True
    assert (await shop.credits(ada))["plan"] == 5_000
    (invoice, first) = await walk(ada, INVOICES)
    assert (invoice["total_cents"], first["total_cents"]) == (25_000, 0)
    assert invoice["invoice_url"].startswith(shop.provider.base_url)


async def test_a_second_plan_is_refused_and_a_pack_is_not(shop: Storefront, ada: Caller) -> None:
    await shop.buy(ada, **PRO)
    for wish in (PRO, {"plan": "studio", "interval": "year"}):
        assert problem_of(await ada.post(CHECKOUT, wish)) == (409, "already-subscribed")
    assert len(await attributes(shop)) == 1
    await shop.checkout(ada, pack="large")
    # cancelled, yet paid for: to be resumed
    await ada.post("/api/v1/subscriptions/current/cancel")
    assert problem_of(await ada.post(CHECKOUT, PRO)) == (409, "already-subscribed")
    await shop.advance(days=8)
    await shop.checkout(ada, **PRO)


async def test_a_repeated_key_makes_one_checkout(shop: Storefront, ada: Caller) -> None:
    key = {"Idempotency-Key": "order-1"}
    first, second = await ada.post(CHECKOUT, PRO, **key), await ada.post(CHECKOUT, PRO, **key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert len(await attributes(shop)) == 1
    other = await ada.post(CHECKOUT, {"pack": "small"}, **key)
    assert problem_of(other) == (422, "idempotency-key-reused")


async def test_a_key_of_another_user_is_another_key(
    shop: Storefront, ada: Caller, eve: Caller
) -> None:
    key = {"Idempotency-Key": "order-1"}
    first, second = await ada.post(CHECKOUT, PRO, **key), await eve.post(CHECKOUT, PRO, **key)
    assert first.json()["checkout_url"] != second.json()["checkout_url"]
    emails = [made["checkout_data"]["email"] for made in await attributes(shop)]
    assert emails == ["eve@example.com", "ada@example.com"]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "body"),
        ({"plan": "pro"}, "body"),
        ({"interval": "month"}, "body"),
        ({"pack": "small", "interval": "month"}, "body"),
        ({**PRO, "pack": "small"}, "body"),
        ({**PRO, "plan": "free"}, "body.plan"),
        ({**PRO, "plan": "enterprise"}, "body.plan"),
        ({**PRO, "plan": "gold"}, "body.plan"),
        ({**PRO, "interval": "week"}, "body.interval"),
        ({"pack": "huge"}, "body.pack"),
        ({"pack": "small", "price_cents": 1}, "body.price_cents"),
        ({"pack": "small", "return_url": "http://example.com/"}, "body.return_url"),
        ({"pack": "small", "return_url": "javascript:alert(1)"}, "body.return_url"),
        ({"pack": "small", "return_url": "https://" + "x" * 2000}, "body.return_url"),
    ],
)
async def test_a_bad_wish_is_named_and_nobody_is_asked(
    shop: Storefront, ada: Caller, wish: dict[str, str], field: str
) -> None:
    assert named_fields(await ada.post(CHECKOUT, wish)) == [field]
    assert await attributes(shop) == []


OWN = "https://easel.example"


@pytest.mark.parametrize(
    ("url", "public_url", "may"),
    [
        ("https://example.com/thanks", OWN, True),
        ("https://easel.example/account?paid=1#top", OWN, True),
        ("http://127.0.0.1:8080/account", "http://127.0.0.1:8080", True),
        ("http://127.0.0.1:8081/account", "http://127.0.0.1:8080", False),
        ("http://easel.example/account", OWN, False),
        ("http://easel.example@evil.example/", OWN, False),
        ("https://easel.example@evil.example/", OWN, False),
        ("https://easel.example\\@evil.example/", OWN, False),
        ("//evil.example/", OWN, False),
        ("/account", OWN, False),
        ("https:///account", OWN, False),
        ("https://[::1/account", OWN, False),
        ("https://example.com:99999/", OWN, False),
        ("https://example.com/ a", OWN, False),
        ("https://example.com/\n", OWN, False),
        ("data:text/html,x", OWN, False),
        ("", OWN, False),
    ],
)
def test_where_a_checkout_may_lead(url: str, public_url: str, may: bool) -> None:
    assert may_return_to(url, public_url) is may


async def test_with_the_provider_away_the_customer_may_come_back(
    shop: Storefront, ada: Caller
) -> None:
    key = {"Idempotency-Key": "order-1"}
    await shop.provider.faults(status=503)
    away = await ada.post(CHECKOUT, PRO, **key)
    assert problem_of(away) == (503, "billing-unavailable")
    assert int(away.headers["retry-after"]) >= 1
    assert (await ada.post(CHECKOUT, PRO, **key)).status_code == 201  # the key stayed free


async def test_with_the_user_service_away_nothing_is_sold(shop: Storefront, ada: Caller) -> None:
    async def cut(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("cut", request=request)

    shop.app.state.accounts.http = httpx.AsyncClient(transport=httpx.MockTransport(cut))
    assert problem_of(await ada.post(CHECKOUT, PRO)) == (503, "service-unavailable")
    assert await attributes(shop) == []


async def test_pages_of_purchases_follow_each_other_newest_first(
    shop: Storefront, ada: Caller
) -> None:
    for pack in ("small", "medium", "large") * 4:
        await shop.buy(ada, pack=pack)
    orders = await walk(ada, ORDERS, limit=5)
    assert [order["pack"] for order in orders] == ["large", "medium", "small"] * 4
    assert [int(order["id"]) for order in orders] == sorted(
        (int(order["id"]) for order in orders), reverse=True
    )
    for path in (ORDERS, INVOICES):
        for cursor in ("nonsense!", encode_cursor(new_id())):
            assert named_fields(await ada.get(path, cursor=cursor)) == ["query.cursor"]


async def test_other_peoples_purchases_do_not_exist(
    shop: Storefront, ada: Caller, eve: Caller
) -> None:
    await shop.buy(ada, **PRO)
    await shop.buy(ada, pack="small")
    for path in (ORDERS, INVOICES):
        assert (await walk(ada, path)) != []
        assert (await walk(eve, path)) == []
    assert (await shop.current(eve))["plan"] == "free"


async def test_without_a_token_nothing_is_answered(shop: Storefront) -> None:
    answers = [await shop.api.get(path) for path in (ORDERS, INVOICES)]
    for answer in [*answers, await shop.api.post(CHECKOUT, json=PRO)]:
        assert problem_of(answer) == (401, "unauthorized")
