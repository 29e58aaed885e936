"""From a checkout page to the plan, the credits and the e-mail, over HTTP, as a customer goes."""

import httpx
import pytest

from tests.journeys.billing import (
    SECONDS,
    Shop,
    credits_by_kind,
    current,
    invoices,
    log_in_operator,
    subscribe,
    wait_for_plan,
)
from tests.running_platform import Platform, User, wait_until

# An upgrade in a month that began when the trial, which cost nothing, was over.
REASONS = ["updated", "renewal", "initial"]


@pytest.fixture
def shop(platform: Platform) -> Shop:
    return Shop(platform)


def test_a_checkout_ends_with_the_plan_the_credits_and_the_email(
    platform: Platform, shop: Shop, user: User
) -> None:
    assert (current(user)["plan"], credits_by_kind(user)) == ("free", {"free": 500})
    url = shop.open_checkout(user, plan="starter", interval="month", return_url=platform.url)
    page = shop.http.get(url).text
    assert "7 days free, then $25.00 every month." in page
    assert user.email in page

    paid = shop.pay(url)
    assert (paid.status_code, paid.headers["Location"]) == (303, platform.url)
    trial = wait_for_plan(user, "starter", "on_trial")
    assert trial["trial_ends_at"] == trial["renews_at"]
    assert credits_by_kind(user) == {"free": 500, "trial": 1_250}
    assert user.get("/api/v1/users/me/entitlements")["tier"] == "starter"
    shop.wait_for_email(user, "Your trial of the Starter plan has begun")

    shop.press("renew", shop.subscription_of(user))
    active = wait_for_plan(user, "starter", "active")
    assert active["renews_at"] > trial["renews_at"]
    wait_until(lambda: credits_by_kind(user) == {"free": 500, "plan": 5_000}, SECONDS)
    receipt = shop.wait_for_email(user, "Receipt: 25.00 USD for your Easel plan")
    assert receipt["sender"] == "Easel <mail@easel.example>"
    (invoice, _) = invoices(user)
    assert (invoice["status"], invoice["total_cents"]) == ("paid", 2_500)
    assert httpx.get(invoice["invoice_url"]).status_code == 200


def test_a_pack_is_credited_once_however_often_it_is_told(shop: Shop, user: User) -> None:
    shop.pay(shop.open_checkout(user, pack="small"))
    wait_until(lambda: credits_by_kind(user) == {"free": 500, "top_up": 1_000}, SECONDS)
    shop.wait_for_email(user, "1,000 credits for 6.00 USD")
    (told,) = [
        delivery
        for delivery in shop.deliveries()
        if delivery["event"] == "order_created" and user.email in delivery["body"]
    ]
    assert [shop.send_again(told) for _ in range(3)] == [200, 200, 200]
    (order,) = user.get("/api/v1/payments/orders")["items"]
    assert (order["pack"], order["total_cents"], order["status"]) == ("small", 600, "paid")
    assert credits_by_kind(user) == {"free": 500, "top_up": 1_000}
    shop.wait_for_email(user, "1,000 credits for 6.00 USD")  # still the only one
    assert current(user)["plan"] == "free"


def test_an_upgrade_does_what_its_preview_says(shop: Shop, user: User) -> None:
    subscribe(shop, user)
    wanted = {"plan": "pro", "interval": "month"}
    preview = user.http.post("/api/v1/subscriptions/current/change-preview", json=wanted)
    assert preview.status_code == 200, preview.text
    told = preview.json()
    assert told["takes_effect"] == "now"
    assert (told["lost_credits"], told["granted_credits"]) == ("5000", "15000")
    assert told["kept_credits"] == "500"

    changed = user.http.post("/api/v1/subscriptions/current/change", json=wanted)
    assert changed.status_code == 200, changed.text
    wait_for_plan(user, "pro", "active")
    wait_until(lambda: credits_by_kind(user) == {"free": 500, "plan": 15_000}, SECONDS)
    wait_until(
        lambda: [invoice["billing_reason"] for invoice in invoices(user)] == REASONS, SECONDS
    )
    cents = invoices(user)[0]["total_cents"]
    assert abs(cents - told["estimated_proration_cents"]) <= 10
    shop.wait_for_email(user, f"Receipt: {cents / 100:.2f} USD for your Easel plan")


def test_a_cancelled_plan_stays_until_its_end_and_can_be_taken_back(shop: Shop, user: User) -> None:
    paid = subscribe(shop, user)
    answer = user.http.post("/api/v1/subscriptions/current/cancel")
    assert answer.status_code == 200, answer.text
    cancelled = wait_for_plan(user, "starter", "cancelled")
    assert cancelled["ends_at"] == paid["renews_at"]
    assert credits_by_kind(user)["plan"] == 5_000
    wait_until(lambda: any("cancelled" in m["subject"] for m in shop.emails(user)), SECONDS)

    answer = user.http.post("/api/v1/subscriptions/current/resume")
    assert answer.status_code == 200, answer.text
    resumed = wait_for_plan(user, "starter", "active")
    assert (resumed["ends_at"], resumed["renews_at"]) == (None, paid["renews_at"])


def test_only_the_provider_is_believed(shop: Shop, user: User) -> None:
    shop.pay(shop.open_checkout(user, pack="small"))
    wait_until(lambda: "top_up" in credits_by_kind(user), SECONDS)
    body = shop.deliveries()[-1]["body"].encode()
    for headers in ({}, {"X-Signature": ""}, {"X-Signature": "0" * 64}):
        answer = shop.tell(body.replace(b'"id"', b'"id" '), headers)
        assert answer.status_code == 401, answer.text
    assert shop.tell(b"x" * 3_000_000, {"X-Signature": "0" * 64}).status_code == 413
    assert credits_by_kind(user)["top_up"] == 1_000


def test_an_operator_finds_nothing_wrong_with_the_ledger(
    platform: Platform, shop: Shop, user: User
) -> None:
    subscribe(shop, user)
    user.wait(user.create(steps=4))
    operator = log_in_operator(platform)
    assert operator.get("/api/v1/admin/ledger/check") == {"findings": []}
    assert operator.get("/api/v1/admin/payments/webhooks")["items"] == []
    applied = operator.get("/api/v1/admin/payments/webhooks?state=applied")["items"]
    assert "subscription_created" in {entry["event_name"] for entry in applied}
    compared = operator.http.post("/api/v1/admin/payments/reconciliation")
    assert compared.status_code == 200, compared.text
    assert (compared.json()["compared"] > 0, compared.json()["repaired"]) == (True, 0)


def test_a_lost_webhook_is_found_by_the_reconciliation(
    platform: Platform, shop: Shop, user: User
) -> None:
    subscribe(shop, user)
    shop.hold_webhooks()
    shop.press("cancel", shop.subscription_of(user))
    shop.lose_held_webhooks()
    assert current(user)["subscription"]["status"] == "active"
    compared = log_in_operator(platform).http.post("/api/v1/admin/payments/reconciliation")
    assert compared.json()["repaired"] == 1, compared.text
    wait_for_plan(user, "starter", "cancelled")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/admin/ledger/check"),
        ("GET", "/api/v1/admin/payments/webhooks"),
        ("POST", "/api/v1/admin/payments/reconciliation"),
        ("POST", "/api/v1/admin/credits/grants"),
    ],
)
def test_what_operators_do_is_for_operators(
    platform: Platform, user: User, method: str, path: str
) -> None:
    assert user.http.request(method, path).status_code == 403
    assert httpx.request(method, platform.url + path).status_code == 401


@pytest.mark.parametrize("path", ["/internal/users", "/internal", "/metrics", "/readyz", "/docs"])
def test_what_is_for_us_alone_is_not_behind_the_gateway(platform: Platform, path: str) -> None:
    assert httpx.get(platform.url + path).status_code == 404
