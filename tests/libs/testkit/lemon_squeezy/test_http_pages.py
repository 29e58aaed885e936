"""What people see and click: checkout, receipt, portal, dashboard; all without JavaScript."""

import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from libs.testkit.lemon_squeezy.client import DoubleClient
from libs.testkit.lemon_squeezy.fixture import StartDouble
from libs.testkit.lemon_squeezy.records import CARD_DECLINED
from tests.libs.testkit.lemon_squeezy.receiver import receiving

GOOD = "4242 4242 4242 4242"
EVIL = '"><script>alert(1)</script>'
NOTICE = "No money moves"


class Labels(HTMLParser):
    """Every visible input and the labels of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inputs: set[str] = set()
        self.labels: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("input", "select") and given.get("type") != "hidden":
            self.inputs.add(given.get("id") or "an input without an id")
        if tag == "label":
            self.labels.add(given.get("for") or "")


async def get(double: DoubleClient, url: str) -> str:
    answer = await double.http.get(url)
    assert answer.status_code == 200
    assert NOTICE in answer.text and "<script" not in answer.text
    labels = Labels(answer.text)
    assert labels.inputs == labels.labels
    return answer.text


async def post(double: DoubleClient, url: str, **form: Any) -> httpx.Response:
    return await double.http.post(url, data=form)


async def test_a_plan_is_bought_by_a_form(lemon_squeezy: DoubleClient) -> None:
    url = await lemon_squeezy.create_checkout(
        1011, email="ann@example.com", redirect_url="http://127.0.0.1:9/thanks?x=1"
    )
    page = await get(lemon_squeezy, url)
    assert "Easel Pro" in page and "$75.00" in page and "7 days free" in page
    assert 'value="ann@example.com"' in page and ">Pay</button>" in page
    paid = await post(lemon_squeezy, url, email="ann@example.com", name="Ann", card_number=GOOD)
    assert (paid.status_code, paid.headers["location"]) == (303, "http://127.0.0.1:9/thanks?x=1")
    (sub,) = await lemon_squeezy.find("subscriptions")
    assert sub["attributes"]["user_name"] == "Ann"
    assert sub["attributes"]["card_last_four"] == "4242"


async def test_a_pack_without_a_way_back_ends_at_the_receipt(lemon_squeezy: DoubleClient) -> None:
    url = await lemon_squeezy.create_checkout(2002, email="ann@example.com")
    page = await get(lemon_squeezy, url)
    assert "$28.00" in page and "Paid once." in page
    receipt = await lemon_squeezy.pay(url, email="ann@example.com", name="Ann")
    text = await get(lemon_squeezy, receipt)
    assert "Receipt" in text and "$28.00" in text and "Thank you, Ann." in text


async def test_a_second_click_charges_nothing(lemon_squeezy: DoubleClient) -> None:
    url = await lemon_squeezy.create_checkout(2001, email="ann@example.com")
    form = {"email": "ann@example.com", "name": "Ann", "card_number": GOOD}
    first, second = [await post(lemon_squeezy, url, **form) for _ in range(2)]
    assert first.headers["location"] == second.headers["location"]
    assert len(await lemon_squeezy.find("orders")) == 1


async def test_a_declined_card_can_be_replaced(lemon_squeezy: DoubleClient) -> None:
    url = await lemon_squeezy.create_checkout(1001, email="ann@example.com")
    with pytest.raises(httpx.HTTPStatusError):
        await lemon_squeezy.pay(url, email="ann@example.com", card=CARD_DECLINED)
    declined = await post(lemon_squeezy, url, email="ann@example.com", card_number="1234")
    assert declined.status_code == 422 and 'role="alert"' in declined.text
    assert await lemon_squeezy.find("orders") == []
    await lemon_squeezy.pay(url, email="ann@example.com")
    assert len(await lemon_squeezy.find("orders")) == 1


async def test_links_are_signed_and_can_expire(lemon_squeezy: DoubleClient) -> None:
    url = await lemon_squeezy.create_checkout(2001, email="ann@example.com")
    for broken in (url[:-1] + "x", url.partition("?")[0], url.replace("signature=", "signature=0")):
        answer = await lemon_squeezy.http.get(broken)
        assert answer.status_code == 403 and NOTICE in answer.text
    bought = await lemon_squeezy.buy(1001, email="ann@example.com")
    portal = (await lemon_squeezy.subscription(bought.subscription_id or ""))["urls"]
    await get(lemon_squeezy, portal["customer_portal"])
    await lemon_squeezy.advance(hours=25)
    assert (await lemon_squeezy.http.get(portal["customer_portal"])).status_code == 403


async def test_everything_is_escaped(lemon_squeezy: DoubleClient) -> None:
    url = await lemon_squeezy.create_checkout(1001, email=f"{EVIL}@example.com")
    page = await get(lemon_squeezy, url)
    assert "&lt;script&gt;" in page
    form = {"email": f"{EVIL}@example.com", "name": EVIL, "card_number": EVIL}
    assert "<script" not in (await post(lemon_squeezy, url, **form)).text
    receipt = await post(lemon_squeezy, url, **{**form, "card_number": GOOD})
    (sub,) = await lemon_squeezy.find("subscriptions")
    for shown in (
        receipt.headers["location"],
        "/dashboard",
        *sub["attributes"]["urls"].values(),
    ):
        await get(lemon_squeezy, shown)


async def test_forms_of_other_sites_are_refused(lemon_squeezy: DoubleClient) -> None:
    url = await lemon_squeezy.create_checkout(2001, email="ann@example.com")
    form = {"email": "ann@example.com", "card_number": GOOD}
    for origin in ("https://evil.example", "null"):
        answer = await lemon_squeezy.http.post(url, data=form, headers={"Origin": origin})
        assert answer.status_code == 403
    host = {"Host": "evil.example"}
    assert (await lemon_squeezy.http.get("/dashboard", headers=host)).status_code == 400
    assert await lemon_squeezy.find("orders") == []


async def test_the_portal_changes_card_plan_and_end(lemon_squeezy: DoubleClient) -> None:
    bought = await lemon_squeezy.buy(1001, email="ann@example.com", skip_trial=True)
    sub = bought.subscription_id or ""
    urls = (await lemon_squeezy.subscription(sub))["urls"]
    for page in urls.values():
        await get(lemon_squeezy, page)
    await post(lemon_squeezy, urls["update_payment_method"], card_number="5555555555554444")
    await post(lemon_squeezy, urls["customer_portal_update_subscription"], variant_id="1021")
    await post(lemon_squeezy, urls["customer_portal"], id=sub, action="cancel")
    attributes = await lemon_squeezy.subscription(sub)
    assert (attributes["card_brand"], attributes["variant_id"]) == ("mastercard", 1021)
    assert attributes["status"] == "cancelled"
    refused = await post(lemon_squeezy, urls["customer_portal"], id="1", action="resume")
    assert refused.status_code == 404 and 'role="alert"' in refused.text


async def press(double: DoubleClient, label: str) -> httpx.Response:
    """Press the first button with that label on the dashboard, as a browser would."""
    page = await get(double, "/dashboard")
    forms = re.findall(r"<form method=\"post\".*?</form>", page, re.DOTALL)
    form = next(form for form in forms if f">{label}</button>" in form)
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    return await post(double, "/dashboard", **hidden)


@pytest.mark.parametrize(
    ("labels", "status"),
    [
        (["Renew now"], "active"),
        (["Fail the next payment", "Renew now"], "past_due"),
        (["Fail the next payment", "Renew now", "Recover"], "active"),
        (["Cancel"], "cancelled"),
        (["Cancel", "Resume"], "on_trial"),
        (["Pause"], "paused"),
        (["Pause", "Unpause"], "on_trial"),
        (["Expire"], "expired"),
        (["Forward 31 days"], "active"),
        (["Cancel", "Forward 7 days"], "expired"),
        (["Renew now", "Refund last payment"], "active"),
    ],
)
async def test_dashboard_buttons(
    lemon_squeezy: DoubleClient, labels: list[str], status: str
) -> None:
    bought = await lemon_squeezy.buy(1001, email="ann@example.com")
    for label in labels:
        assert (await press(lemon_squeezy, label)).status_code == 303
    attributes = await lemon_squeezy.subscription(bought.subscription_id or "")
    assert attributes["status"] == status
    refunded = await lemon_squeezy.find("subscription-invoices", refunded="true")
    assert len(refunded) == labels.count("Refund last payment")


async def test_the_dashboard_sends_webhooks_again_and_holds_them_back(
    start_lemon_squeezy: StartDouble,
) -> None:
    async with receiving() as shop:
        double = await start_lemon_squeezy(webhook_url=shop.url)
        await double.buy(2001, email="ann@example.com")
        await press(double, "Deliver duplicate")
        assert [r.body for r in shop.received] == [shop.received[0].body] * 2
        await press(double, "Hold new webhooks back")
        await press(double, "Refund")
        assert len(shop.received) == 2
        await press(double, "Release what is held")
        assert shop.names() == ["order_created", "order_created", "order_refunded"]
        assert await get(double, "/dashboard")


async def test_a_button_that_does_not_fit_says_why(lemon_squeezy: DoubleClient) -> None:
    for form, status in (({"action": "renew", "id": "1"}, 404), ({"action": "x", "id": "1"}, 400)):
        answer = await post(lemon_squeezy, "/dashboard", **form)
        assert answer.status_code == status and 'role="alert"' in answer.text
