"""Webhooks over real HTTP: order, signature, retries, holding back, duplicates."""

import hashlib
import hmac
import json

from libs.testkit.lemon_squeezy.fixture import StartDouble
from tests.libs.testkit.lemon_squeezy.receiver import receiving

FIRST_PAYMENT = [
    "order_created",
    "subscription_created",
    "subscription_payment_success",
    "subscription_updated",
]


async def test_a_first_payment_tells_four_events_in_order(start_lemon_squeezy: StartDouble) -> None:
    async with receiving() as shop:
        double = await start_lemon_squeezy(webhook_url=shop.url)
        bought = await double.buy(1011, email="ann@example.com", custom={"user_id": "7"})
        assert shop.names() == FIRST_PAYMENT
        for request in shop.received:
            meta = json.loads(request.body)["meta"]
            assert meta["event_name"] == request.headers["x-event-name"]
            assert meta["custom_data"] == {"user_id": "7"}
            assert meta["test_mode"] is True
        webhook_ids = {json.loads(r.body)["meta"]["webhook_id"] for r in shop.received}
        assert len(webhook_ids) == 4
        assert json.loads(shop.received[1].body)["data"]["id"] == bought.subscription_id


async def test_the_raw_body_is_signed(start_lemon_squeezy: StartDouble) -> None:
    async with receiving() as shop:
        double = await start_lemon_squeezy(webhook_url=shop.url, webhook_secret="a secret")
        await double.buy(2001, email="ann@example.com")
        (request,) = shop.received
        expected = hmac.new(b"a secret", request.body, hashlib.sha256).hexdigest()
        assert request.headers["x-signature"] == expected
        assert request.headers["content-type"] == "application/json"
        assert b"https:\\/\\/" in request.body or b"http:\\/\\/" in request.body
        assert "custom_data" not in json.loads(request.body)["meta"]


async def test_three_retries_then_never_again(start_lemon_squeezy: StartDouble) -> None:
    async with receiving() as shop:
        shop.answers = [500, 201, 302, 404, 200]
        double = await start_lemon_squeezy(webhook_url=shop.url)
        await double.buy(2001, email="ann@example.com")
        assert len(shop.received) == 1
        for seconds, requests in ((4, 1), (1, 2), (24, 2), (1, 3), (124, 3), (1, 4), (9999, 4)):
            await double.advance(seconds=seconds)
            assert len(shop.received) == requests
        assert len({request.body for request in shop.received}) == 1
        (delivery,) = await double.deliveries()
        assert delivery.state == "failed"
        assert [attempt.status for attempt in delivery.attempts] == [500, 201, 302, 404]


async def test_a_shop_that_is_down_is_tried_again(start_lemon_squeezy: StartDouble) -> None:
    async with receiving() as shop:
        url = shop.url
    double = await start_lemon_squeezy(webhook_url=url)
    await double.buy(2001, email="ann@example.com")
    (delivery,) = await double.deliveries()
    assert delivery.state == "waiting"
    assert delivery.attempts[0].status is None
    assert "ConnectError" in delivery.attempts[0].problem


async def test_held_events_go_in_any_order_are_lost_or_doubled(
    start_lemon_squeezy: StartDouble,
) -> None:
    async with receiving() as shop:
        double = await start_lemon_squeezy(webhook_url=shop.url)
        await double.hold()
        await double.buy(1001, email="ann@example.com")
        assert shop.received == []
        first, *others = [delivery.id for delivery in await double.deliveries()]
        await double.drop([first])
        await double.release(others[::-1])
        assert shop.names() == FIRST_PAYMENT[:0:-1]
        await double.again(others[0])
        assert shop.names()[-1] == "subscription_created"
        assert shop.received[-1].body == shop.received[2].body


async def test_time_brings_renewals_and_their_events(start_lemon_squeezy: StartDouble) -> None:
    async with receiving() as shop:
        double = await start_lemon_squeezy(webhook_url=shop.url)
        await double.buy(1001, email="ann@example.com", skip_trial=True)
        shop.received.clear()
        await double.advance(days=62)
        assert shop.names() == ["subscription_payment_success", "subscription_updated"] * 2
