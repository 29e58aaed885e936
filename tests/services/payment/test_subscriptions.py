"""A customer's subscription: what is shown, cancelling, resuming, and all that is refused."""

from datetime import datetime
from typing import Any

import pytest

from tests.services.callers import Caller, named_fields, problem_of
from tests.services.payment.storefront import CURRENT, Storefront

CHANGE = f"{CURRENT}/change"
PREVIEW = f"{CURRENT}/change-preview"
CANCEL = f"{CURRENT}/cancel"
RESUME = f"{CURRENT}/resume"
LINKS = f"{CURRENT}/links"
PRO = {"plan": "pro", "interval": "month"}
STUDIO = {"plan": "studio", "interval": "month"}


@pytest.fixture
async def ada(shop: Storefront) -> Caller:
    return await shop.customer("ada")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def subscription_id(shop: Storefront) -> str:
    """The provider's id of the newest subscription."""
    return str((await shop.provider.find("subscriptions"))[0]["id"])


async def test_without_a_subscription_the_free_plan_is_told(shop: Storefront, ada: Caller) -> None:
    current = await shop.current(ada)
    assert (current["plan"], current["subscription"]) == ("free", None)
    assert moment(current["next_free_credits_at"]) > shop.clock.now
    for path in (CANCEL, RESUME):
        assert problem_of(await ada.post(path)) == (404, "subscription-not-found")
    for path in (CHANGE, PREVIEW):
        assert problem_of(await ada.post(path, PRO)) == (404, "subscription-not-found")
    assert problem_of(await ada.get(LINKS)) == (404, "subscription-not-found")


async def test_a_trial_and_the_plan_after_it(shop: Storefront, ada: Caller) -> None:
    await shop.buy(ada, **PRO)
    trial = (await shop.current(ada))["subscription"]
    assert (trial["status"], trial["plan"], trial["plan_now"]) == ("on_trial", "pro", "pro")
    assert (moment(trial["trial_ends_at"]) - shop.clock.now).days in (6, 7)
    await shop.advance(days=7, minutes=1)
    current = await shop.current(ada)
    paid = current["subscription"]
    assert (current["plan"], current["next_free_credits_at"]) == ("pro", None)
    assert (paid["status"], paid["interval"], paid["price_cents"]) == ("active", "month", 7_500)
    assert 28 <= (moment(paid["renews_at"]) - shop.clock.now).days <= 31
    assert (paid["card_brand"], len(paid["card_last_four"])) == ("visa", 4)
    assert (paid["ends_at"], paid["payment_due_since"], paid["grace_ends_at"]) == (None,) * 3
    assert paid["id"] == trial["id"]


async def test_cancelled_it_lasts_until_the_end_of_what_is_paid(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "pro")
    before = (await shop.current(ada))["subscription"]
    for _ in range(2):
        answer = await ada.post(CANCEL)
        assert answer.status_code == 200
        cancelled = answer.json()["subscription"]
        assert (cancelled["status"], cancelled["ends_at"]) == ("cancelled", before["renews_at"])
        assert (cancelled["renews_at"], answer.json()["plan"]) == (None, "pro")
    assert await shop.current(ada) == answer.json()
    assert (await shop.credits(ada))["plan"] == 15_000
    await shop.tell()
    assert await shop.current(ada) == answer.json()  # the webhook is no news
    await shop.advance(days=32)
    ended = await shop.current(ada)
    assert (ended["plan"], ended["subscription"]) == ("free", None)
    assert problem_of(await ada.post(CANCEL)) == (404, "subscription-not-found")
    assert problem_of(await ada.post(RESUME)) == (404, "subscription-not-found")


async def test_a_cancellation_is_taken_back(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "pro")
    before = await shop.current(ada)
    assert problem_of(await ada.post(RESUME)) == (409, "not-cancelled")
    await ada.post(CANCEL)
    await shop.advance(days=3)
    answer = await ada.post(RESUME)
    assert answer.json() == before
    assert problem_of(await ada.post(RESUME)) == (409, "not-cancelled")
    await shop.advance(days=32)
    assert (await shop.current(ada))["subscription"]["status"] == "active"


async def test_what_a_customer_asks_for_is_kept_in_the_audit_log(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "pro")
    for path, wish in ((CHANGE, STUDIO), (CANCEL, None), (RESUME, None)):
        assert (await ada.post(path, wish)).status_code == 200
    actor = f"user:{ada.id}"
    query = (
        "SELECT action, subject FROM ops.audit_log"
        " WHERE actor = :actor AND subject LIKE 'subscription:%' ORDER BY id"
    )
    subject = f"subscription:{await subscription_id(shop)}"
    verbs = ("changed", "cancelled", "resumed")
    lines = await shop.rows(query, actor=actor)
    assert lines == [(f"subscription.{verb}", subject) for verb in verbs]


async def test_a_due_payment_is_shown_with_its_grace(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "pro")
    await shop.provider.fail_next(await subscription_id(shop), 99)
    await shop.advance(days=32)
    current = await shop.current(ada)
    due = current["subscription"]
    assert (due["status"], due["plan"]) == ("past_due", "pro")
    grace = moment(due["grace_ends_at"]) - moment(due["payment_due_since"])
    assert grace.days == 3
    for path in (CHANGE, PREVIEW):
        refused = await ada.post(path, STUDIO)
        assert problem_of(refused) == (409, "subscription-not-active")
        assert refused.json()["subscription_status"] == "past_due"
    assert problem_of(await ada.post(RESUME)) == (409, "not-cancelled")
    cancelled = (await ada.post(CANCEL)).json()
    assert cancelled["subscription"] is None  # what was paid for is over


async def test_what_is_cancelled_is_resumed_before_it_is_changed(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "pro")
    await ada.post(CANCEL)
    refused = await ada.post(CHANGE, STUDIO)
    assert problem_of(refused) == (409, "subscription-not-active")
    assert refused.json()["subscription_status"] == "cancelled"


async def test_links_are_the_providers_and_fresh(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "pro")
    links = (await ada.get(LINKS)).json()
    for name in ("customer_portal_url", "update_payment_method_url"):
        assert links[name].startswith(shop.provider.base_url)
        assert (await shop.provider.http.get(links[name])).status_code == 200


@pytest.mark.parametrize("path", [CHANGE, PREVIEW])
@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"plan": "free", "interval": "month"}, "body.plan"),
        ({"plan": "enterprise", "interval": "month"}, "body.plan"),
        ({"plan": "pro", "interval": "week"}, "body.interval"),
        ({"plan": "pro"}, "body.interval"),
        ({"plan": "pro", "interval": "month", "price_cents": 1}, "body.price_cents"),
    ],
)
async def test_a_bad_wish_is_named(
    shop: Storefront, ada: Caller, path: str, wish: dict[str, Any], field: str
) -> None:
    assert named_fields(await ada.post(path, wish)) == [field]


async def test_nobody_touches_another_users_subscription(shop: Storefront, ada: Caller) -> None:
    eve = await shop.customer("eve")
    await shop.subscribe(ada, "pro")
    before = await shop.current(ada)
    assert (await shop.current(eve))["subscription"] is None
    for path in (CANCEL, RESUME):
        assert problem_of(await eve.post(path)) == (404, "subscription-not-found")
    for path in (CHANGE, PREVIEW):
        assert problem_of(await eve.post(path, STUDIO)) == (404, "subscription-not-found")
    assert problem_of(await eve.get(LINKS)) == (404, "subscription-not-found")
    assert await shop.current(ada) == before


async def test_without_a_token_nothing_is_answered(shop: Storefront) -> None:
    answers = [await shop.api.get(path) for path in (CURRENT, LINKS)]
    answers += [await shop.api.post(path, json=PRO) for path in (CHANGE, PREVIEW, CANCEL, RESUME)]
    for answer in answers:
        assert problem_of(answer) == (401, "unauthorized")


async def test_with_the_provider_away_nothing_changes(shop: Storefront, ada: Caller) -> None:
    await shop.subscribe(ada, "pro")
    before = await shop.current(ada)
    for path, wish in ((CHANGE, STUDIO), (CANCEL, None)):
        await shop.provider.faults(status=502)
        assert problem_of(await ada.post(path, wish)) == (503, "billing-unavailable")
    await shop.provider.faults(status=502)
    assert problem_of(await ada.get(LINKS)) == (503, "billing-unavailable")
    assert await shop.current(ada) == before


async def test_what_the_provider_refuses_is_told_in_its_words(
    shop: Storefront, ada: Caller
) -> None:
    await shop.subscribe(ada, "pro")
    await shop.provider.act(await subscription_id(shop), "expire")  # we have not heard of it
    refused = await ada.post(CANCEL)
    assert problem_of(refused) == (409, "billing-refused")
    assert refused.json()["detail"] == "An expired subscription cannot be cancelled."
    await shop.tell()
    assert (await shop.current(ada))["plan"] == "free"
