"""Changes of plan and refunds in the books: what is charged, what is given back."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.testkit.lemon_squeezy.books import Books, new_books, take_events
from libs.testkit.lemon_squeezy.changes import cancel, change_variant, set_billing_anchor
from libs.testkit.lemon_squeezy.charges import fail_next_payments
from libs.testkit.lemon_squeezy.checkouts import Purchase, purchase
from libs.testkit.lemon_squeezy.clock import advance
from libs.testkit.lemon_squeezy.records import Invoice, Refused, Subscription
from libs.testkit.lemon_squeezy.refunds import refund_invoice, refund_order

# April has 30 days: half of it is 15.
START = datetime(2026, 4, 1, tzinfo=UTC)
HALF = START + timedelta(days=15)


@pytest.fixture
def books() -> Books:
    return new_books(START, seed="changes")


def subscribed(books: Books, variant: int = 1001) -> Subscription:
    sub = purchase(books, variant, email="ann@example.com", skip_trial=True).subscription
    take_events(books)
    assert sub is not None
    return sub


def newest(books: Books) -> Invoice:
    return list(books.invoices.values())[-1]


def told(books: Books) -> list[str]:
    return [event.name for event in take_events(books)]


def test_an_upgrade_is_charged_by_share_with_the_next_renewal(books: Books) -> None:
    sub = subscribed(books)
    advance(books, HALF)
    change_variant(books, sub.id, 1011)
    assert told(books) == ["subscription_updated"]
    assert (sub.variant_id, sub.renews_at, len(books.invoices)) == (1011, START.replace(month=5), 1)
    advance(books, sub.renews_at)
    # the documented example: the new price, half of it used, less half of the old one
    assert newest(books).total == 7500 + 3750 - 1250
    advance(books, sub.renews_at)
    assert newest(books).total == 7500


def test_an_upgrade_can_be_invoiced_at_once(books: Books) -> None:
    sub = subscribed(books)
    advance(books, HALF)
    change_variant(books, sub.id, 1011, invoice_immediately=True)
    assert told(books) == ["subscription_updated", "subscription_payment_success"]
    assert (newest(books).reason, newest(books).total) == ("updated", 2500)
    assert (sub.renews_at, sub.status) == (START.replace(month=5), "active")


def test_prorations_can_be_switched_off_and_that_overrides(books: Books) -> None:
    sub = subscribed(books, 1011)
    advance(books, HALF)
    change_variant(books, sub.id, 1001, invoice_immediately=True, disable_prorations=True)
    assert told(books) == ["subscription_updated"]
    advance(books, sub.renews_at)
    assert newest(books).total == 2500


def test_a_downgrade_leaves_a_credit_that_later_invoices_use_up(books: Books) -> None:
    sub = subscribed(books, 1021)
    advance(books, HALF)
    change_variant(books, sub.id, 1001, invoice_immediately=True)
    assert (newest(books).subtotal, newest(books).total) == (1250 - 7500, 0)
    totals = []
    for _ in range(3):
        advance(books, sub.renews_at)
        totals.append(newest(books).total)
    assert totals == [0, 0, 3 * 2500 - 6250]


def test_another_interval_begins_a_new_period_now(books: Books) -> None:
    sub = subscribed(books)
    advance(books, HALF)
    change_variant(books, sub.id, 1002)
    assert newest(books).total == 25000 - 1250
    assert (sub.period_start, sub.renews_at) == (HALF, HALF.replace(year=2027))


def test_a_change_on_trial_costs_nothing(books: Books) -> None:
    sub = purchase(books, 1001, email="ann@example.com").subscription
    assert sub is not None
    change_variant(books, sub.id, 1012, invoice_immediately=True)
    assert (sub.status, [i.total for i in books.invoices.values()]) == ("on_trial", [0])
    advance(books, sub.renews_at)
    assert newest(books).total == 75000


def test_an_upgrade_that_the_card_declines_is_past_due(books: Books) -> None:
    sub = subscribed(books)
    advance(books, HALF)
    fail_next_payments(books, sub.id)
    change_variant(books, sub.id, 1011, invoice_immediately=True)
    assert told(books) == ["subscription_payment_failed", "subscription_updated"]
    assert (sub.status, sub.variant_id) == ("past_due", 1011)
    advance(books, HALF + timedelta(days=3))
    assert (sub.status, sub.renews_at) == ("active", START.replace(month=5))


@pytest.mark.parametrize("variant", [2001, 9])
def test_only_a_plan_can_be_changed_to(books: Books, variant: int) -> None:
    sub = subscribed(books)
    with pytest.raises(Refused):
        change_variant(books, sub.id, variant)
    assert (sub.variant_id, told(books)) == (1001, [])


def test_the_billing_day_moves_to_its_next_occurrence(books: Books) -> None:
    sub = subscribed(books)
    set_billing_anchor(books, sub.id, 10)
    assert (sub.anchor_day, sub.renews_at) == (10, START.replace(day=10))
    advance(books, sub.renews_at)
    assert newest(books).total == 2500 - round(2500 * 21 / 30)
    set_billing_anchor(books, sub.id, None)
    assert sub.renews_at == START.replace(month=5, day=10)
    assert newest(books).total == 0


def test_a_period_whose_charge_was_declined_is_not_kept_by_cancelling(books: Books) -> None:
    sub = subscribed(books)
    advance(books, HALF)
    fail_next_payments(books, sub.id)
    change_variant(books, sub.id, 1002)
    advance(books, HALF + timedelta(days=1))
    cancel(books, sub.id)
    assert sub.ends_at == books.now


def bought(books: Books) -> Purchase:
    made = purchase(books, 1011, email="ann@example.com", skip_trial=True)
    take_events(books)
    return made


def test_a_full_refund_of_the_first_invoice_refunds_its_order_too(books: Books) -> None:
    made = bought(books)
    assert made.invoice is not None and made.subscription is not None
    advance(books, HALF)
    refund_invoice(books, made.invoice.id)
    assert told(books) == ["subscription_payment_refunded", "order_refunded"]
    assert (made.invoice.status, made.invoice.refunded_at) == ("refunded", HALF)
    assert (made.order.refunded, made.subscription.status) == (7500, "active")


def test_partial_refunds_add_up_and_never_exceed_the_payment(books: Books) -> None:
    made = bought(books)
    assert made.invoice is not None
    refund_order(books, made.order.id, 2500)
    assert told(books) == ["order_refunded", "subscription_payment_refunded"]
    assert (made.invoice.status, made.invoice.refunded_at) == ("partial_refund", None)
    for amount in (5001, 0, -1):
        with pytest.raises(Refused):
            refund_invoice(books, made.invoice.id, amount)
    refund_invoice(books, made.invoice.id, 5000)
    assert (made.invoice.status, made.order.refunded) == ("refunded", 7500)
    with pytest.raises(Refused):
        refund_order(books, made.order.id)


def test_a_renewal_is_refunded_without_its_order(books: Books) -> None:
    made = bought(books)
    advance(books, START + timedelta(days=40))
    take_events(books)
    refund_invoice(books, newest(books).id)
    assert told(books) == ["subscription_payment_refunded"]
    assert made.order.refunded == 0


def test_a_pack_is_refunded_by_its_order(books: Books) -> None:
    made = purchase(books, 2001, email="ann@example.com")
    take_events(books)
    refund_order(books, made.order.id, 100)
    (event,) = take_events(books)
    attributes = event.document["data"]["attributes"]
    assert (event.name, attributes["status"]) == ("order_refunded", "partial_refund")
    assert (attributes["refunded"], attributes["refunded_amount"]) == (False, 100)
