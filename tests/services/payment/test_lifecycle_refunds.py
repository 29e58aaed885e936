"""The lifecycle's rules of refunds: sets of facts in, what is due out."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.payment.grants import Reversal
from services.payment.lifecycle import Standing, judge
from services.payment.lifecycle_facts import Observation, Payment
from tests.services.payment.lives import at, paid, seen

STARTED = seen("active", "2027-01-31", renews="2027-02-28", billing_anchor=31)
RENEWED = seen("active", "2027-02-28 00:00:05", renews="2027-03-31", billing_anchor=31)
YEARLY = seen("active", "2027-01-31", interval="year", renews="2028-01-31", billing_anchor=31)


def standing(*facts: Observation, now: str, payments: Sequence[Payment]) -> Standing:
    return judge(set(facts), set(payments), at(now))


def due_key(*facts: Observation, now: str, payments: Sequence[Payment]) -> str | None:
    grant = standing(*facts, now=now, payments=payments).grant
    return grant.key if grant else None


@pytest.mark.parametrize("created", ["2027-01-30 23:59:58", "2027-01-31", "2027-01-31 00:05"])
def test_a_full_refund_ends_the_period(created: str) -> None:
    back = paid(created, reason="initial", refunded=7_500)
    given_back = standing(STARTED, now="2027-02-10", payments=[back])
    assert (given_back.tier, given_back.grant, given_back.ending) == ("pro", None, "refunded")
    assert due_key(STARTED, RENEWED, now="2027-03-01", payments=[back]) == "plan:7:2027-03-31:pro"


def test_a_refund_before_the_period_is_known_ends_it_too() -> None:
    back = paid("2027-02-28 00:00:02", refunded=7_500)
    assert due_key(STARTED, now="2027-02-27", payments=[back]) == "plan:7:2027-02-28:pro"
    assert due_key(STARTED, RENEWED, now="2027-03-01", payments=[back]) is None


def test_a_change_of_plan_given_back_leaves_what_was_paid_before() -> None:
    first = paid("2027-01-31", reason="initial")
    change = replace(first, invoice="2", reason="updated", total_cents=1_667, refunded_cents=1_667)
    for payments in ([change], [first, change]):  # whichever is known
        grant = standing(STARTED, now="2027-02-12", payments=payments).grant
        assert grant is not None
        assert grant.reversals == (Reversal("invoices:2", grant.amount * 1_667 // 7_500),)
    both = [replace(first, refunded_cents=7_500), change]
    assert due_key(STARTED, now="2027-02-12", payments=both) is None


def test_a_refunded_change_of_plan_ends_the_period_that_it_was_made_in() -> None:
    back = paid("2027-02-27", reason="updated", refunded=7_500)
    assert due_key(STARTED, RENEWED, now="2027-02-27", payments=[back]) is None
    assert due_key(STARTED, RENEWED, now="2027-03-01", payments=[back]) is not None


def test_a_refund_of_a_year_that_was_changed_within_days_leaves_the_month_that_came() -> None:
    monthly = seen("active", "2027-02-01", renews="2027-03-01", billing_anchor=1)
    back = paid("2027-01-31", reason="initial", refunded=7_500)
    assert due_key(YEARLY, now="2027-01-31", payments=[back]) is None
    assert due_key(YEARLY, monthly, now="2027-02-02", payments=[back]) == "plan:7:2027-03-01:pro"


def test_a_partial_refund_takes_its_share_of_every_month_of_the_period() -> None:
    part = paid("2027-01-31", reason="initial", refunded=1_000, invoice="9")
    for now in ("2027-02-01", "2027-06-01"):
        grant = standing(YEARLY, now=now, payments=[part]).grant
        assert grant and grant.reversals == (Reversal("invoices:9", 2_000_000),)
    unpaid = Payment("9", "7", "initial", at("2027-01-31"), False, 7_500, 0)
    grant = standing(YEARLY, now="2027-02-01", payments=[unpaid]).grant
    assert grant and grant.reversals == ()
