"""Our client of the provider's API against its double, a real HTTP server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from libs.testkit.lemon_squeezy.client import DoubleClient
from services.payment.lemon_squeezy.client import CheckoutOrder, LemonSqueezy
from services.payment.problems import BillingRefused, BillingUnavailable
from tests.services.payment.shop import payment_settings

EMAIL = "ada@example.com"
STARTER, STARTER_YEAR, PRO, SMALL_PACK = "1001", "1002", "1011", "2001"


def settings_of(double: DoubleClient, **given: str) -> dict[str, str]:
    return {
        "lemon_squeezy_api_url": double.api_url,
        "lemon_squeezy_api_key": double.settings.api_key,
        "lemon_squeezy_store_id": str(double.settings.store_id),
        **given,
    }


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
def store(lemon_squeezy: DoubleClient, http: httpx.AsyncClient) -> LemonSqueezy:
    return LemonSqueezy(http, payment_settings(**settings_of(lemon_squeezy)))


async def subscribe(double: DoubleClient, variant: str = STARTER, email: str = EMAIL) -> str:
    """A paid subscription without a trial; its id."""
    bought = await double.buy(int(variant), email=email, skip_trial=True)
    assert bought.subscription_id is not None
    return bought.subscription_id


async def test_a_checkout_sells_one_variant_to_one_user(
    store: LemonSqueezy, lemon_squeezy: DoubleClient
) -> None:
    user_id, now = uuid4(), await lemon_squeezy.now()
    checkout = await store.create_checkout(
        CheckoutOrder(
            variant_id=PRO,
            user_id=user_id,
            email=EMAIL,
            name="Ada",
            return_url="https://easel.example/account",
            expires_at=now + timedelta(hours=1),
            skip_trial=True,
        )
    )
    assert checkout.expires_at == now.replace(microsecond=0) + timedelta(hours=1)
    (made,) = await lemon_squeezy.find("checkouts")
    attributes = made["attributes"]
    assert attributes["url"] == checkout.url
    assert attributes["variant_id"] == int(PRO)
    assert attributes["checkout_data"]["custom"] == {"user_id": str(user_id)}
    assert attributes["product_options"]["enabled_variants"] == [int(PRO)]
    leads_to = await lemon_squeezy.pay(checkout.url)  # the page knows the e-mail address
    assert leads_to.startswith("https://easel.example/account")
    (subscription,) = await lemon_squeezy.find("subscriptions")
    assert subscription["attributes"]["user_email"] == EMAIL
    assert subscription["attributes"]["status"] == "active"


async def test_an_unknown_variant_is_refused_with_the_providers_words(store: LemonSqueezy) -> None:
    order = CheckoutOrder(
        "4711", uuid4(), EMAIL, "Ada", "https://a.example", datetime(2099, 1, 1, tzinfo=UTC)
    )
    with pytest.raises(BillingRefused) as refused:
        await store.create_checkout(order)
    assert refused.value.detail == "The related resource does not exist."


async def test_a_subscription_is_read_cancelled_and_resumed(
    store: LemonSqueezy, lemon_squeezy: DoubleClient
) -> None:
    subscription_id = await subscribe(lemon_squeezy)
    read = await store.get_subscription(subscription_id)
    assert (read.id, read.attributes.status, read.attributes.ends_at) == (
        subscription_id,
        "active",
        None,
    )
    cancelled = await store.cancel(subscription_id)
    assert cancelled.attributes.status == "cancelled"
    assert cancelled.attributes.ends_at == read.attributes.renews_at
    assert (await store.cancel(subscription_id)).attributes.status == "cancelled"
    resumed = await store.resume(subscription_id)
    assert (resumed.attributes.status, resumed.attributes.ends_at) == ("active", None)


async def test_an_upgrade_is_charged_now_and_a_downgrade_never(
    store: LemonSqueezy, lemon_squeezy: DoubleClient
) -> None:
    subscription_id = await subscribe(lemon_squeezy)
    await lemon_squeezy.advance(days=10)
    upgraded = await store.change_variant(subscription_id, PRO, charge_now=True)
    assert upgraded.attributes.variant_id == PRO
    reasons = [one["attributes"] for one in await lemon_squeezy.find("subscription-invoices")]
    assert [one["billing_reason"] for one in reasons] == ["updated", "initial"]
    assert 0 < reasons[0]["total"] < 5_000
    downgraded = await store.change_variant(subscription_id, STARTER, charge_now=False)
    assert downgraded.attributes.variant_id == STARTER
    assert downgraded.attributes.renews_at == upgraded.attributes.renews_at
    await lemon_squeezy.advance(days=30)
    renewal = (await lemon_squeezy.find("subscription-invoices"))[0]["attributes"]
    assert (renewal["billing_reason"], renewal["total"]) == ("renewal", 2_500)


async def test_what_cannot_be_changed_is_refused(
    store: LemonSqueezy, lemon_squeezy: DoubleClient
) -> None:
    subscription_id = await subscribe(lemon_squeezy)
    await store.cancel(subscription_id)
    with pytest.raises(BillingRefused, match="cancelled cannot be updated"):
        await store.change_variant(subscription_id, PRO, charge_now=True)
    with pytest.raises(BillingRefused):
        await store.change_variant(subscription_id, SMALL_PACK, charge_now=True)
    with pytest.raises(BillingRefused):
        await store.get_subscription("4711")


async def test_a_list_has_every_page(store: LemonSqueezy, lemon_squeezy: DoubleClient) -> None:
    await lemon_squeezy.limit(10_000)
    made = [await subscribe(lemon_squeezy, email=f"{n}@example.com") for n in range(103)]
    listed = [one.id async for one in store.list_subscriptions()]
    assert listed == made[::-1]


async def test_over_the_rate_limit_it_says_when_to_come_back(
    store: LemonSqueezy, lemon_squeezy: DoubleClient
) -> None:
    subscription_id = await subscribe(lemon_squeezy)
    await lemon_squeezy.limit(0)
    with pytest.raises(BillingUnavailable) as refused:
        await store.get_subscription(subscription_id)
    assert refused.value.status == 503
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 60


@pytest.mark.parametrize("status", [500, 502, 503, 401, 403])
async def test_the_providers_failures_are_not_the_customers(
    store: LemonSqueezy, lemon_squeezy: DoubleClient, status: int
) -> None:
    subscription_id = await subscribe(lemon_squeezy)
    await lemon_squeezy.faults(status=status)
    with pytest.raises(BillingUnavailable) as refused:
        await store.get_subscription(subscription_id)
    assert refused.value.headers == {"Retry-After": "5"}
    assert (await store.get_subscription(subscription_id)).id == subscription_id


async def test_a_change_that_failed_after_its_effect_can_be_asked_for_again(
    store: LemonSqueezy, lemon_squeezy: DoubleClient
) -> None:
    subscription_id = await subscribe(lemon_squeezy)
    await lemon_squeezy.faults(status=500, after_effect=True)
    with pytest.raises(BillingUnavailable):
        await store.change_variant(subscription_id, PRO, charge_now=True)
    again = await store.change_variant(subscription_id, PRO, charge_now=True)
    assert again.attributes.variant_id == PRO
    invoices = await lemon_squeezy.find("subscription-invoices")
    assert [one["attributes"]["billing_reason"] for one in invoices] == ["updated", "initial"]


async def test_with_the_wrong_key_and_with_nobody_there_it_is_unavailable(
    lemon_squeezy: DoubleClient, http: httpx.AsyncClient
) -> None:
    wrong = settings_of(lemon_squeezy, lemon_squeezy_api_key="wrong")
    nobody = settings_of(lemon_squeezy, lemon_squeezy_api_url="http://127.0.0.1:9/v1")
    for settings in (wrong, nobody):
        with pytest.raises(BillingUnavailable):
            await LemonSqueezy(http, payment_settings(**settings)).get_subscription("1")


@pytest.mark.parametrize("body", ["<html>", "[]", '{"data": []}', '{"data": [{"id": 1}]}'])
async def test_an_answer_that_is_no_document_is_unavailable(body: str) -> None:
    async def answer(_request: Request) -> Response:
        return Response(body)

    transport = httpx.ASGITransport(Starlette(routes=[Route("/v1/subscriptions", answer)]))
    settings = payment_settings(lemon_squeezy_api_url="http://somebody/v1")
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(BillingUnavailable):
            await anext(LemonSqueezy(http, settings).list_subscriptions())
