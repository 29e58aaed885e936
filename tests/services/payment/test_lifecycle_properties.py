"""What holds for every set of facts, likely or not."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.tiers.catalogue import Interval, TierName
from services.payment.lifecycle import Standing, judge
from services.payment.lifecycle_facts import Observation, Payment, Status, age_order
from services.payment.lifecycle_periods import Period, current_period, periods_of
from tests.services.payment.lives import at

BEGIN = at("2027-01-31 10:00")
moments = st.integers(0, 800).map(lambda half_days: BEGIN + timedelta(hours=12 * half_days))
PAID_TIERS: tuple[TierName, ...] = ("starter", "pro", "studio")
tiers = st.sampled_from(PAID_TIERS)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    updated_at = draw(moments)
    ahead = updated_at + timedelta(days=draw(st.integers(0, 400)))
    status: Status = draw(st.sampled_from(get_args(Status)))
    return Observation(
        subscription="7",
        status=status,
        tier=draw(tiers),
        interval=draw(st.sampled_from(get_args(Interval))),
        created_at=BEGIN,
        updated_at=updated_at,
        renews_at=ahead,
        trial_ends_at=ahead if status == "on_trial" else None,
        ends_at=ahead if status in ("cancelled", "expired") else None,
        billing_anchor=draw(st.sampled_from([None, ahead.day])),
        digest=draw(st.binary(min_size=2, max_size=2)),
    )


@st.composite
def payments(draw: st.DrawFn) -> Payment:
    return Payment(
        invoice=str(draw(st.integers(1, 9))),
        subscription="7",
        reason=draw(st.sampled_from(["initial", "renewal", "updated"])),
        created_at=draw(moments),
        is_paid=draw(st.booleans()),
        total_cents=draw(st.sampled_from([0, 7_500])),
        refunded_cents=draw(st.sampled_from([0, 1, 7_500])),
    )


facts = st.lists(observations(), min_size=1, max_size=6)
invoices = st.lists(payments(), max_size=3)


def seen_at(now: datetime, told: Sequence[Observation]) -> list[Observation]:
    """What can have been told by then; the oldest at least."""
    oldest = min(told, key=age_order)
    return [one for one in told if one.updated_at <= now] or [oldest]


@given(facts, invoices, moments, st.randoms())
def test_the_standing_is_a_function_of_sets(
    told: list[Observation], paid: list[Payment], now: datetime, dice: Any
) -> None:
    expected = judge(told, paid, now)
    again = [*told, dice.choice(told)]
    paid_again = paid + paid[:1]
    dice.shuffle(again)
    dice.shuffle(paid_again)
    assert judge(again, paid_again, now) == expected


def what_it_gives(standing: Standing) -> tuple[object, ...]:
    return standing.tier, standing.grant


@settings(max_examples=300)
@given(facts, invoices, moments, st.integers(0, 999))
def test_nothing_changes_before_it_is_due(
    told: list[Observation], paid: list[Payment], now: datetime, mille: int
) -> None:
    known = seen_at(now, told)
    now = max(now, known[0].updated_at)
    standing = judge(known, paid, now)
    end = standing.due_at or now + timedelta(days=2_000)
    assert end > now
    between = now + (end - now) * mille // 1_000
    assert what_it_gives(judge(known, paid, between)) == what_it_gives(standing)


@given(facts, invoices, moments)
def test_credits_are_due_only_for_a_month_around_now(
    told: list[Observation], paid: list[Payment], now: datetime
) -> None:
    standing = judge(told, paid, now)
    if standing.grant:
        assert standing.grant.expires_at and now < standing.grant.expires_at
        assert standing.newest.status != "expired"
        assert all(reversal.amount > 0 for reversal in standing.grant.reversals)
    if standing.newest.status in ("unpaid", "expired"):
        assert standing.tier == "free"


@given(facts)
def test_slices_follow_each_other_without_gap_and_fill_the_period(told: list[Observation]) -> None:
    for period in periods_of(sorted(told, key=age_order)):
        slices = [period.slice_at(period.start)]
        while slices[-1].end < period.end:
            slices.append(period.slice_at(slices[-1].end))
        assert slices[0].start == period.start
        assert len(slices) == {"month": 1, "year": 12}[period.interval]
        assert all(one.end == two.start for one, two in pairwise(slices))
        assert current_period([period], period.start) == period
        assert current_period([period], period.end) is None


def test_a_period_before_its_begin_is_its_first_month() -> None:
    period = Period(at("2028-01-31"), "year", "pro", 31)
    assert period.slice_at(at("2026-01-01")) == period.slice_at(at("2027-01-31"))
