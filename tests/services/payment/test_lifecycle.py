"""The lifecycle's rules, one by one: sets of facts in, a standing out."""

from collections.abc import Sequence

import pytest

from libs.credits.pricing import MILLI
from libs.tiers.catalogue import TierName, load_catalogue
from services.payment.grants import DueGrant
from services.payment.lifecycle import Standing, highest_tier, judge, trial_holder
from services.payment.lifecycle_facts import Observation, Payment
from tests.services.payment.lives import at, paid, seen

# created on 31 January, the day that most months do not have
STARTED = seen("active", "2027-01-31", renews="2027-02-28", billing_anchor=31)
RENEWED = seen("active", "2027-02-28 00:00:05", renews="2027-03-31", billing_anchor=31)


def credits(tier: TierName) -> int:
    return load_catalogue().tier(tier).credits_month * MILLI


def standing(
    *facts: Observation, now: str, payments: Sequence[Payment] = (), elsewhere: bool = False
) -> Standing:
    return judge(set(facts), set(payments), at(now), trial_used_elsewhere=elsewhere)


def due_key(*facts: Observation, now: str, payments: Sequence[Payment] = ()) -> str | None:
    grant = standing(*facts, now=now, payments=payments).grant
    return grant.key if grant else None


def test_an_active_subscription_gives_its_tier_and_the_month() -> None:
    assert standing(STARTED, now="2027-01-31") == Standing(
        newest=STARTED,
        tier="pro",
        grant=DueGrant("plan:7:2027-02-28:pro", "plan", credits("pro"), at("2027-02-28")),
        ending="replaced",
        past_due_since=None,
        due_at=at("2027-02-28"),
    )


def test_the_last_day_of_february_is_followed_by_the_31st_of_march() -> None:
    for now, key in (
        ("2027-02-27 23:59", "plan:7:2027-02-28:pro"),
        ("2027-02-28", "plan:7:2027-03-31:pro"),
        ("2027-03-30", "plan:7:2027-03-31:pro"),
    ):
        assert due_key(STARTED, RENEWED, now=now) == key


def test_a_renewal_that_nobody_told_yet_keeps_the_tier_for_a_while_and_gives_nothing() -> None:
    late = standing(STARTED, now="2027-03-01")
    assert (late.tier, late.grant, late.due_at) == ("pro", None, at("2027-03-02"))
    assert standing(STARTED, now="2027-03-02").tier == "free"


def test_a_period_that_is_paid_early_waits_for_its_begin() -> None:
    early = seen("active", "2027-02-27", renews="2027-03-31", billing_anchor=31)
    assert due_key(STARTED, early, now="2027-02-27 12:00") == "plan:7:2027-02-28:pro"
    assert standing(STARTED, early, now="2027-02-27 12:00").due_at == at("2027-02-28")
    assert due_key(STARTED, early, now="2027-02-28") == "plan:7:2027-03-31:pro"


def test_a_calendar_that_begins_a_period_days_later_keeps_nobody_waiting() -> None:
    """Some calendars put one month after 31 January on 3 March."""
    odd = seen("active", "2027-01-31", renews="2027-03-03", billing_anchor=3)
    assert due_key(odd, now="2027-01-31") == "plan:7:2027-03-03:pro"


YEARLY = seen("active", "2027-01-31", interval="year", renews="2028-01-31", billing_anchor=31)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2027-01-31", "2027-02-28"),
        ("2027-02-28", "2027-03-31"),
        ("2027-03-31", "2027-04-30"),
        ("2027-12-31", "2028-01-31"),
        ("2028-01-30 23:59", "2028-01-31"),
    ],
)
def test_a_year_is_given_by_months_from_its_begin(now: str, end: str) -> None:
    given = standing(YEARLY, now=now)
    assert given.grant == DueGrant(f"plan:7:{end}:pro", "plan", credits("pro"), at(end))
    assert given.due_at == at(end)


def test_a_year_from_a_leap_day_has_twelve_months() -> None:
    leap = seen("active", "2028-02-29", interval="year", renews="2029-02-28", billing_anchor=29)
    days = [f"2028-{month:02}-29" for month in range(3, 13)] + ["2029-01-29", "2029-02-28"]
    starts = ["2028-02-29", *days[:-1]]
    keys = [due_key(leap, now=start) for start in starts]
    assert keys == [f"plan:7:{day}:pro" for day in days]
    assert due_key(leap, now="2029-02-28") is None


TRIAL = seen("on_trial", "2027-01-31", trial_ends="2027-02-07", renews="2027-02-07")


def test_a_trial_gives_a_quarter_until_it_ends() -> None:
    trial = standing(TRIAL, now="2027-01-31")
    quarter = DueGrant("trial:7:pro", "trial", credits("pro") // 4, at("2027-02-07"))
    assert (trial.tier, trial.grant) == ("pro", quarter)
    ended = standing(TRIAL, now="2027-02-07")
    assert (ended.tier, ended.grant) == ("pro", None)
    assert standing(TRIAL, now="2027-02-09").tier == "free"


def test_a_trial_gives_no_credits_a_second_time() -> None:
    second = standing(TRIAL, now="2027-02-01", elsewhere=True)
    assert (second.tier, second.grant) == ("pro", None)


def test_only_the_first_trial_of_a_user_counts_whichever_was_told_first() -> None:
    later = seen(
        "on_trial",
        "2027-03-01",
        trial_ends="2027-03-08",
        subscription="3",
        created_at=at("2027-03-01"),
    )
    assert trial_holder([later, TRIAL]) == trial_holder([TRIAL, later]) == "7"
    assert trial_holder([STARTED]) is None


def test_a_trial_that_is_paid_becomes_a_plan() -> None:
    paying = seen("active", "2027-02-07", renews="2027-03-07", billing_anchor=7)
    for now in ("2027-02-06", "2027-02-07"):  # also when it is paid before its end
        assert due_key(TRIAL, paying, now=now) == "plan:7:2027-03-07:pro"


def test_a_trial_that_is_cancelled_lasts_until_its_end() -> None:
    cancelled = seen("cancelled", "2027-02-02", renews="2027-02-07", ends="2027-02-07")
    lasting = standing(TRIAL, cancelled, now="2027-02-03")
    assert (lasting.tier, lasting.grant is not None) == ("pro", True)
    over = standing(TRIAL, cancelled, now="2027-02-07")
    assert (over.tier, over.grant, over.ending, over.due_at) == ("free", None, "expired", None)


def test_a_trial_whose_first_charge_fails_gives_no_credits_and_three_days() -> None:
    failed = seen("past_due", "2027-02-07", renews="2027-02-10")
    grace = standing(TRIAL, failed, now="2027-02-08")
    assert (grace.tier, grace.grant, grace.due_at) == ("pro", None, at("2027-02-10"))
    assert standing(TRIAL, failed, now="2027-02-10").tier == "free"


FAILED = seen("past_due", "2027-02-28", renews="2027-03-03")
FAILED_AGAIN = seen("past_due", "2027-03-02", renews="2027-03-07")


def test_past_due_keeps_the_plan_for_three_days_from_the_first_failure() -> None:
    facts = (STARTED, FAILED, FAILED_AGAIN)
    grace = standing(*facts, now="2027-03-02 23:59")
    assert (grace.tier, grace.grant) == ("pro", None)
    assert (grace.past_due_since, grace.due_at) == (at("2027-02-28"), at("2027-03-03"))
    assert standing(*facts, now="2027-03-03").tier == "free"


def test_who_recovers_gets_the_period_that_was_late_and_new_days_of_grace_next_time() -> None:
    recovered = seen("active", "2027-03-10", renews="2027-03-31", billing_anchor=31)
    facts = (STARTED, FAILED, FAILED_AGAIN, recovered)
    assert due_key(*facts, now="2027-03-10") == "plan:7:2027-03-31:pro"
    failed_in_march = seen("past_due", "2027-03-31", renews="2027-04-03")
    next_time = standing(*facts, failed_in_march, now="2027-04-02")
    assert (next_time.tier, next_time.past_due_since) == ("pro", at("2027-03-31"))


def test_a_month_of_a_year_is_not_given_while_payment_fails() -> None:
    failed = seen("past_due", "2027-03-15", interval="year", renews="2027-03-18")
    assert due_key(YEARLY, failed, now="2027-03-16") == "plan:7:2027-03-31:pro"  # had begun
    assert due_key(YEARLY, failed, now="2027-04-01") is None
    recovered = seen(
        "active", "2027-04-02", interval="year", renews="2028-01-31", billing_anchor=31
    )
    assert due_key(YEARLY, failed, recovered, now="2027-04-02") == "plan:7:2027-04-30:pro"


@pytest.mark.parametrize("status", ["unpaid", "expired"])
def test_unpaid_and_expired_give_nothing(status: str) -> None:
    gone = seen(status, "2027-02-10", ends="2027-02-10")  # type: ignore[arg-type]
    assert standing(STARTED, gone, now="2027-02-11").tier == "free"


def test_what_expires_takes_its_credits_along() -> None:
    expired = seen("expired", "2027-02-10", ends="2027-02-10")
    gone = standing(STARTED, expired, now="2027-02-11")
    assert (gone.grant, gone.ending, gone.due_at) == (None, "expired", None)


def test_cancelled_keeps_plan_and_credits_until_its_end() -> None:
    cancelled = seen("cancelled", "2027-02-10", renews="2027-02-28", ends="2027-02-28")
    kept = standing(STARTED, cancelled, now="2027-02-27")
    assert (kept.tier, kept.due_at) == ("pro", at("2027-02-28"))
    assert kept.grant and kept.grant.key == "plan:7:2027-02-28:pro"
    assert standing(STARTED, cancelled, now="2027-02-28").tier == "free"
    resumed = seen("active", "2027-02-20", renews="2027-02-28", billing_anchor=31)
    assert standing(STARTED, cancelled, resumed, now="2027-02-28").tier == "pro"


def test_a_cancelled_year_gives_its_months_to_the_end() -> None:
    cancelled = seen("cancelled", "2027-02-10", interval="year", ends="2028-01-31")
    assert due_key(YEARLY, cancelled, now="2027-11-30") == "plan:7:2027-12-31:pro"


def test_a_downgrade_in_a_trial_is_due_when_it_ends_paid_or_not() -> None:
    lower = seen("on_trial", "2027-02-03", tier="starter", trial_ends="2027-02-07")
    failed = seen("past_due", "2027-02-07", tier="starter", renews="2027-02-10")
    assert standing(TRIAL, lower, now="2027-02-06").tier == "pro"
    assert standing(TRIAL, lower, failed, now="2027-02-08").tier == "starter"


PAUSED = seen("paused", "2027-02-10", renews="2027-02-28")


def test_a_pause_keeps_what_was_paid() -> None:
    kept = standing(STARTED, PAUSED, now="2027-02-27")
    assert (kept.tier, kept.due_at) == ("pro", at("2027-02-28"))
    assert kept.grant and kept.grant.key == "plan:7:2027-02-28:pro"
    ended = standing(STARTED, PAUSED, now="2027-02-28")
    assert (ended.tier, ended.grant) == ("free", None)


def test_a_pause_of_a_year_gives_no_further_month() -> None:
    paused = seen("paused", "2027-02-10", interval="year", renews="2028-01-31")
    halted = standing(YEARLY, paused, now="2027-03-01")
    assert (halted.tier, halted.grant) == ("pro", None)


def test_a_cycle_that_passed_in_a_pause_gives_no_credits_when_the_pause_ends() -> None:
    cycle = seen("paused", "2027-02-28", renews="2027-03-31")
    back = seen("active", "2027-03-10", renews="2027-03-31", billing_anchor=31)
    facts = (STARTED, PAUSED, cycle, back)
    resumed = standing(*facts, now="2027-03-10")
    assert (resumed.tier, resumed.grant) == ("pro", None)
    invoice = paid("2027-02-28")
    assert due_key(*facts, now="2027-03-10", payments=[invoice]) == "plan:7:2027-03-31:pro"


def test_an_upgrade_replaces_the_months_credits() -> None:
    starter = seen("active", "2027-01-31", tier="starter", renews="2027-02-28")
    upgraded = seen("active", "2027-02-10", tier="studio", renews="2027-02-28")
    grown = standing(starter, upgraded, now="2027-02-10")
    assert (grown.tier, grown.ending) == ("studio", "replaced")
    due = DueGrant("plan:7:2027-02-28:studio", "plan", credits("studio"), at("2027-02-28"))
    assert grown.grant == due


def test_a_downgrade_waits_for_the_end_of_the_period() -> None:
    lower = seen("active", "2027-02-10", tier="starter", renews="2027-02-28", billing_anchor=31)
    kept = standing(STARTED, lower, now="2027-02-27")
    assert kept.tier == "pro"
    assert kept.grant and kept.grant.key == "plan:7:2027-02-28:pro"
    assert standing(STARTED, lower, now="2027-02-28").tier == "starter"
    renewed = seen("active", "2027-02-28", tier="starter", renews="2027-03-31", billing_anchor=31)
    assert due_key(STARTED, lower, renewed, now="2027-03-01") == "plan:7:2027-03-31:starter"


def test_another_interval_begins_a_period_at_once() -> None:
    changed = seen("active", "2027-02-10", interval="year", renews="2028-02-10", billing_anchor=10)
    assert due_key(STARTED, changed, now="2027-02-10") == "plan:7:2027-03-10:pro"
    assert due_key(STARTED, changed, now="2027-03-10") == "plan:7:2027-04-10:pro"


def test_cancelling_brings_nothing_back_that_a_pause_had_ended() -> None:
    paused = seen("paused", "2027-02-10", renews="2027-02-28")
    free_cycle = seen("paused", "2027-02-28", renews="2027-03-31")
    early = seen("cancelled", "2027-02-20", ends="2027-02-28")
    late = seen("cancelled", "2027-03-10", ends="2027-03-31")
    assert standing(STARTED, paused, early, now="2027-02-27").tier == "pro"
    assert standing(STARTED, paused, free_cycle, now="2027-03-09").tier == "free"
    assert standing(STARTED, paused, free_cycle, late, now="2027-03-11").tier == "free"


def test_what_is_left_of_a_year_does_not_come_back_when_a_later_month_is_not_paid() -> None:
    monthly = seen("active", "2027-03-10", renews="2027-04-10", billing_anchor=10)
    failed = seen("past_due", "2027-04-10", renews="2027-04-13")
    assert due_key(YEARLY, monthly, now="2027-03-10") == "plan:7:2027-04-10:pro"
    assert due_key(YEARLY, monthly, failed, now="2027-04-11") is None


def test_of_several_subscriptions_the_highest_counts_and_each_gives_its_credits() -> None:
    other = seen("active", "2027-01-31", tier="starter", renews="2027-02-28", subscription="8")
    both = [standing(STARTED, now="2027-02-01"), standing(other, now="2027-02-01")]
    assert highest_tier(both) == highest_tier(both[::-1]) == "pro"
    assert [one.grant.key for one in both if one.grant] == [
        "plan:7:2027-02-28:pro",
        "plan:8:2027-02-28:starter",
    ]
    assert highest_tier([]) == "free"


def test_of_two_states_in_one_second_the_one_further_on_counts() -> None:
    at_once = seen("cancelled", "2027-01-31", ends="2027-02-28")
    assert standing(at_once, STARTED, now="2027-02-01").newest == at_once
