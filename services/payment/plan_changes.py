"""What a change of plan does, known before it is done: pure.

The lifecycle judges the history with the change in it, so what is said is what will happen. Up, or
to another interval: at once. Down: when what is paid for ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction

from libs.tiers.catalogue import DEFAULT_TIER
from services.payment.lifecycle import Standing, judge
from services.payment.lifecycle_facts import MONTHS, Observation, Payment, tier_rank
from services.payment.lifecycle_periods import shift_months
from services.payment.offers import PlanOffer
from services.payment.problems import ChangeNotOffered, PlanUnchanged, SubscriptionNotActive

NEXT_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Step:
    """What the provider is asked for; `charge_now`: the rest of the period is prorated."""

    offer: PlanOffer
    charge_now: bool


@dataclass(frozen=True)
class PlanChange:
    """From the plan that is paid for now to the one that is wanted.

    `after` is the standing once it is done. `proration_cents` is an estimate, without taxes; below
    zero it is credited on the next invoices.
    """

    subscription: str
    paid: PlanOffer
    wanted: PlanOffer
    at_once: bool
    effective_at: datetime
    proration_cents: int
    next_charge_at: datetime | None
    steps: tuple[Step, ...]
    after: Standing


def plan_change(
    observations: Iterable[Observation],
    payments: Iterable[Payment],
    wanted: PlanOffer,
    now: datetime,
    *,
    trial_used_elsewhere: bool = False,
) -> PlanChange:
    """What asking for `wanted` does to one subscription.

    Raises SubscriptionNotActive, PlanUnchanged, ChangeNotOffered.
    """
    seen, paid_for = set(observations), set(payments)
    before = judge(seen, paid_for, now, trial_used_elsewhere=trial_used_elsewhere)
    newest = before.newest
    paid = require_possible(before, wanted)
    at_once = tier_rank(wanted.tier) > tier_rank(paid.tier) or wanted.interval != paid.interval
    charge_now = at_once and newest.status == "active"
    told = changed_state(newest, wanted, now)
    return PlanChange(
        subscription=newest.subscription,
        paid=paid,
        wanted=wanted,
        at_once=at_once,
        effective_at=now if at_once else end_of_period(newest) or now,
        proration_cents=estimate_proration(newest, paid, wanted, now) if charge_now else 0,
        next_charge_at=end_of_period(told),
        steps=steps_to(newest, paid, wanted, charge_now),
        after=judge({*seen, told}, paid_for, now, trial_used_elsewhere=trial_used_elsewhere),
    )


def require_possible(before: Standing, wanted: PlanOffer) -> PlanOffer:
    """The plan that is paid for now, if it can be left for `wanted`."""
    newest = before.newest
    if newest.status not in ("active", "on_trial"):
        raise SubscriptionNotActive(
            f"The subscription is {newest.status}", subscription_status=newest.status
        )
    if wanted == PlanOffer(newest.tier, newest.interval):
        raise PlanUnchanged()
    tier = newest.tier if before.tier == DEFAULT_TIER else before.tier
    if wanted.interval != newest.interval and tier_rank(wanted.tier) < tier_rank(tier):
        raise ChangeNotOffered("Change to the smaller plan first; the interval can follow")
    if newest.status == "active" and (newest.interval, wanted.interval) == ("year", "month"):
        # the provider would begin a month at once, each time with the credits of a month
        raise ChangeNotOffered("A year that is paid runs to its end; cancel, and buy by the month")
    return PlanOffer(tier, newest.interval)


def end_of_period(seen: Observation) -> datetime | None:
    """When what is paid for, or the trial, ends and the next charge comes."""
    return seen.trial_ends_at if seen.status == "on_trial" else seen.renews_at


def changed_state(newest: Observation, wanted: PlanOffer, now: datetime) -> Observation:
    """What the provider will tell: another interval begins a new period now, but in a trial."""
    changed = replace(
        newest,
        tier=wanted.tier,
        interval=wanted.interval,
        updated_at=max(now, newest.updated_at + NEXT_INSTANT),
        digest=b"",
    )
    if wanted.interval == newest.interval or newest.status == "on_trial":
        return changed
    renews_at = shift_months(now, MONTHS[wanted.interval], now.day)
    return replace(changed, renews_at=renews_at, billing_anchor=now.day)


def steps_to(
    newest: Observation, paid: PlanOffer, wanted: PlanOffer, charge_now: bool
) -> tuple[Step, ...]:
    """A downgrade that waits is taken back first, so that the difference to what was really paid
    is charged and not more."""
    if charge_now and newest.tier != paid.tier:
        return (Step(paid, charge_now=False), Step(wanted, charge_now=True))
    return (Step(wanted, charge_now),)


def estimate_proration(
    newest: Observation, paid: PlanOffer, wanted: PlanOffer, now: datetime
) -> int:
    """Cents: the wanted plan for the rest of the period less what is left of the paid one.

    https://docs.lemonsqueezy.com/guides/developer-guide/managing-subscriptions#handling-proration
    """
    end = newest.renews_at or now
    start = shift_months(end, -MONTHS[paid.interval], newest.billing_anchor or end.day)
    share = Fraction((end - now) // NEXT_INSTANT, (end - start) // NEXT_INSTANT)
    left = min(Fraction(1), max(Fraction(0), share))
    unused = round(paid.price_cents * left)
    if wanted.interval == paid.interval:
        return round(wanted.price_cents * left) - unused
    return wanted.price_cents - unused
