"""The books without HTTP: what happens to subscriptions, in which order it is told."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from libs.testkit.lemon_squeezy.books import Books, Rules, new_books, sign, take_events
from libs.testkit.lemon_squeezy.changes import cancel, pause, resume, set_trial_end, unpause
from libs.testkit.lemon_squeezy.charges import fail_next_payments, renew_now, update_card
from libs.testkit.lemon_squeezy.checkouts import purchase
from libs.testkit.lemon_squeezy.clock import advance, expire_now
from libs.testkit.lemon_squeezy.records import (
    CARD_DECLINED,
    CARD_DECLINED_AT_RENEWAL,
    GOOD_CARD,
    PaymentDeclined,
    Refused,
    Subscription,
)

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
PAID = ["subscription_payment_success", "subscription_updated"]
FAILED = ["subscription_payment_failed", "subscription_updated"]


@pytest.fixture
def books() -> Books:
    return new_books(START, seed="books")


def subscribe(books: Books, variant: int = 1001, **options: object) -> Subscription:
    """A subscription whose first events were taken."""
    bought = purchase(books, variant, email="ann@example.com", **options)  # type: ignore[arg-type]
    take_events(books)
    assert bought.subscription is not None
    return bought.subscription


def told(books: Books) -> list[str]:
    return [event.name for event in take_events(books)]


def days(books: Books, number: float) -> list[str]:
    """The events of the next days."""
    advance(books, books.now + timedelta(days=number))
    return told(books)


def test_a_trial_costs_nothing_and_is_charged_when_it_ends(books: Books) -> None:
    bought = purchase(books, 1011, email="ann@example.com")
    sub, invoice = bought.subscription, bought.invoice
    assert sub is not None and invoice is not None
    assert (sub.status, bought.order.total, invoice.total) == ("on_trial", 0, 0)
    assert {sub.renews_at, sub.trial_ends_at} == {START + timedelta(days=7)}
    take_events(books)
    assert days(books, 6.9) == []
    assert days(books, 0.2) == PAID
    assert (sub.status, sub.trial_ends_at) == ("active", None)
    assert sub.renews_at == START.replace(month=3, day=7)
    assert [i.total for i in books.invoices.values()] == [0, 7500]


def test_only_the_first_subscription_of_an_address_has_a_trial(books: Books) -> None:
    subscribe(books)
    again = purchase(books, 1021, email="Ann@Example.com").subscription
    skipped = purchase(books, 1021, email="bob@example.com", skip_trial=True).subscription
    assert again is not None and skipped is not None
    assert (again.status, skipped.status) == ("active", "active")
    assert again.customer_id != skipped.customer_id


def test_a_pack_is_an_order_and_nothing_else(books: Books) -> None:
    bought = purchase(books, 2002, email="ann@example.com", custom={"user_id": "7"})
    (event,) = take_events(books)
    assert event.name == "order_created"
    assert bought.subscription is None
    attributes = event.document["data"]["attributes"]
    assert (attributes["total"], attributes["first_order_item"]["variant_id"]) == (2800, 2002)


def test_renewals_fall_on_the_anchor_day_or_on_the_last_of_the_month(books: Books) -> None:
    sub = subscribe(books, skip_trial=True)
    ends = []
    for _ in range(4):
        ends.append(sub.renews_at.date().isoformat())
        advance(books, sub.renews_at)
    assert ends == ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]


def test_a_yearly_plan_renews_once_a_year(books: Books) -> None:
    sub = subscribe(books, 1022, skip_trial=True)
    assert days(books, 364) == []
    assert days(books, 1) == PAID
    assert sub.renews_at == START.replace(year=2028)


def test_a_declined_renewal_is_retried_four_times_then_unpaid_then_expired(books: Books) -> None:
    sub = subscribe(books, skip_trial=True, card=CARD_DECLINED_AT_RENEWAL)
    due = sub.renews_at
    advance(books, due)
    assert told(books) == FAILED
    assert sub.status == "past_due"
    for day in (3, 7, 10, 14):
        assert sub.renews_at == due + timedelta(days=day)
        advance(books, sub.renews_at)
        assert told(books) == FAILED
    assert (sub.status, sub.ends_at) == ("unpaid", None)
    assert days(books, 14) == ["subscription_expired", "subscription_updated"]
    assert (sub.status, sub.ends_at) == ("expired", due + timedelta(days=28))
    assert days(books, 400) == []
    assert [i.status for i in books.invoices.values()] == ["paid", "void"]


def test_without_dunning_an_unpaid_subscription_stays_unpaid() -> None:
    books = new_books(START, rules=Rules(retry_days=(1,), dunning_days=None))
    sub = subscribe(books, skip_trial=True, card=CARD_DECLINED_AT_RENEWAL)
    days(books, 400)
    assert sub.status == "unpaid"


def test_a_retry_that_pays_recovers_the_subscription_on_its_old_date(books: Books) -> None:
    sub = subscribe(books, skip_trial=True)
    due = sub.renews_at
    fail_next_payments(books, sub.id, 1)
    advance(books, due + timedelta(days=4))
    assert told(books) == [*FAILED, PAID[0], "subscription_payment_recovered", PAID[1]]
    assert sub.status == "active"
    assert sub.renews_at == due.replace(month=3, day=31)


def test_another_card_pays_what_is_owed_at_once(books: Books) -> None:
    sub = subscribe(books, skip_trial=True, card=CARD_DECLINED_AT_RENEWAL)
    days(books, 29)
    assert sub.status == "past_due"
    assert update_card(books, sub.id, GOOD_CARD)
    assert told(books)[1] == "subscription_payment_recovered"
    assert (sub.status, sub.attempts) == ("active", 0)


def test_a_cancelled_subscription_expires_when_its_period_ends(books: Books) -> None:
    sub = subscribe(books, skip_trial=True)
    cancel(books, sub.id)
    assert told(books) == ["subscription_cancelled", "subscription_updated"]
    assert (sub.status, sub.ends_at) == ("cancelled", sub.renews_at)
    assert days(books, 27) == []
    assert days(books, 2) == ["subscription_expired", "subscription_updated"]
    with pytest.raises(Refused):
        resume(books, sub.id)


def test_a_cancellation_can_be_taken_back(books: Books) -> None:
    sub = subscribe(books)
    cancel(books, sub.id)
    cancel(books, sub.id)
    resume(books, sub.id)
    assert told(books)[2:] == ["subscription_resumed", "subscription_updated"]
    assert (sub.status, sub.ends_at) == ("on_trial", None)
    assert days(books, 8) == PAID


def test_a_pause_skips_charges_and_ends_by_itself(books: Books) -> None:
    sub = subscribe(books, skip_trial=True)
    pause(books, sub.id, "void", resumes_at=START + timedelta(days=40))
    assert told(books) == ["subscription_paused", "subscription_updated"]
    assert days(books, 39) == ["subscription_updated"]
    assert days(books, 2) == ["subscription_unpaused", "subscription_updated"]
    assert sub.status == "active"
    assert [i.status for i in books.invoices.values()] == ["paid", "void"]
    pause(books, sub.id, "free")
    unpause(books, sub.id)
    assert told(books)[2] == "subscription_unpaused"


def test_a_trial_can_be_moved_or_ended(books: Books) -> None:
    sub = subscribe(books)
    set_trial_end(books, sub.id, START + timedelta(days=20))
    assert days(books, 19) == ["subscription_updated"]
    set_trial_end(books, sub.id, None)
    assert told(books) == PAID
    assert (sub.status, sub.period_start) == ("active", books.now)


def test_a_declined_card_buys_nothing(books: Books) -> None:
    with pytest.raises(PaymentDeclined):
        purchase(books, 1001, email="ann@example.com", card=CARD_DECLINED)
    assert (take_events(books), books.orders, books.customers) == ([], {}, {})


def test_renew_now_and_expire_now(books: Books) -> None:
    sub = subscribe(books)
    renew_now(books, sub.id)
    assert told(books) == PAID
    assert (sub.period_start, sub.status) == (START, "active")
    expire_now(books, sub.id)
    assert told(books) == ["subscription_expired", "subscription_updated"]


def test_updated_at_grows_with_every_change_but_not_within_the_first(books: Books) -> None:
    bought = purchase(books, 1001, email="ann@example.com", skip_trial=True)
    assert bought.subscription is not None
    events = {event.name: event.document["data"]["attributes"] for event in take_events(books)}
    created, updated = events["subscription_created"], events["subscription_updated"]
    assert created["updated_at"] == updated["updated_at"]
    assert created["first_subscription_item"] != updated["first_subscription_item"]
    cancel(books, bought.subscription.id)
    resume(books, bought.subscription.id)
    times = [e.document["data"]["attributes"]["updated_at"] for e in take_events(books)]
    assert times[0] == times[1] < times[2] == times[3]


def test_the_same_seed_gives_the_same_bytes() -> None:
    def bodies(seed: str) -> list[bytes]:
        books = new_books(START, seed=seed)
        purchase(books, 1001, email="ann@example.com")
        return [event.body for event in take_events(books)]

    assert bodies("one") == bodies("one")
    assert set(bodies("one")) & set(bodies("two")) == set()


def test_bodies_are_json_as_php_writes_it_and_signed(books: Books) -> None:
    purchase(books, 2001, email="ann@example.com", custom={"name": "Zoë"})
    (event,) = take_events(books)
    assert b"\\/v1\\/orders\\/" in event.body and b"Zo\\u00eb" in event.body
    assert json.loads(event.body) == event.document
    assert event.headers("secret")["X-Signature"] == sign("secret", event.body)


def test_the_clock_does_not_go_back(books: Books) -> None:
    with pytest.raises(Refused):
        advance(books, START - timedelta(seconds=1))


def test_many_customers_fall_due_in_the_order_of_time(books: Books) -> None:
    for number in range(20):
        purchase(books, 1001, email=f"{number}@example.com", skip_trial=True)
        advance(books, books.now + timedelta(hours=number))
    take_events(books)
    advance(books, books.now + timedelta(days=90))
    times = [event.at for event in take_events(books)]
    assert len(times) >= 100
    assert times == sorted(times)
