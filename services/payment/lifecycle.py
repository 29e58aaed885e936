"""What a subscription gives now: a pure function of the set of all that was ever told about it.

Not of the order in which it was told: webhooks come late, twice and reversed. The rules that the
design left open are in docs/adr/0013.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.credits.pricing import MILLI
from libs.tiers.catalogue import DEFAULT_TIER, TierName, load_catalogue
from services.payment.grants import DueGrant, Ending, Reversal
from services.payment.lifecycle_facts import Observation, Payment, Status, age_order, tier_rank
from services.payment.lifecycle_periods import Period, current_period, periods_of

GRACE = timedelta(days=3)  # a failed payment: the plan is kept so long
# A renewal that nobody has told yet: the daily reconciliation tells it before this ends.
RENEWAL_SLACK = timedelta(days=2)
TRIAL_SHARE = 4  # a trial gives a quarter of a month
SUSPENDED: tuple[Status, ...] = ("past_due", "unpaid", "paused")


@dataclass(frozen=True)
class Standing:
    """What a subscription gives now. `tier` free: nothing. Of its plan and trial grants only
    `grant` may live; others end, and `ending` says why. `due_at`: when this next changes."""

    newest: Observation
    tier: TierName
    grant: DueGrant | None
    ending: Ending
    past_due_since: datetime | None
    due_at: datetime | None


def judge(
    observations: Iterable[Observation],
    payments: Iterable[Payment],
    now: datetime,
    *,
    trial_used_elsewhere: bool = False,
) -> Standing:
    """The standing of one subscription; both sets are of that subscription, the first not empty."""
    life = Life(sorted(set(observations), key=age_order), sorted(set(payments), key=repr), now)
    tier = life.tier()
    grant = life.due_trial() if life.is_trial else life.due_plan()
    if life.is_trial and trial_used_elsewhere:
        grant = None
    return Standing(
        newest=life.newest,
        tier=tier,
        grant=grant,
        ending=life.ending(),
        past_due_since=life.since("past_due"),
        due_at=min((moment for moment in life.turns() if moment > now), default=None),
    )


class Life:
    """A subscription's history, from the oldest to the newest state, at a moment."""

    def __init__(
        self, history: Sequence[Observation], payments: Sequence[Payment], now: datetime
    ) -> None:
        self.history, self.payments, self.now = history, payments, now
        self.newest = history[-1]
        running = [seen for seen in history if seen.status in ("on_trial", "active")]
        self.basis = running[-1] if running else None
        self.periods = periods_of(history)
        self.period = current_period(self.periods, now)

    @property
    def is_trial(self) -> bool:
        """What runs, or ran until it was cancelled, is the trial and no paid period."""
        return self.basis is not None and self.basis.status == "on_trial"

    @property
    def is_over(self) -> bool:
        """Expired, or cancelled and used up."""
        ends_at = self.newest.ends_at
        cancelled = self.newest.status == "cancelled"
        return self.newest.status == "expired" or (
            cancelled and (ends_at is None or ends_at <= self.now)
        )

    def since(self, *statuses: Status) -> datetime | None:
        """When the unbroken run of these statuses began that lasts until now."""
        began = None
        for seen in reversed(self.history):
            if seen.status not in statuses:
                break
            began = seen.updated_at
        return began

    def tier(self) -> TierName:
        """The tier that it gives now."""
        until = self.entitled_until()
        return self.own_tier() if until is not None and self.now < until else DEFAULT_TIER

    def entitled_until(self) -> datetime | None:
        """When what it gives ends; None: it gives nothing."""
        status = self.newest.status
        if status in ("active", "on_trial"):
            end = self.end_of(self.newest)
            return end + RENEWAL_SLACK if end else None
        if status == "cancelled":
            return self.leaving_until()
        if status == "past_due":
            began = self.since("past_due")
            return began + GRACE if began else None
        if status == "paused" and self.basis is not None:
            return self.end_of(self.basis)
        return None

    def leaving_until(self) -> datetime | None:
        """A cancellation keeps what is paid; it gives nothing back that a pause had ended."""
        others = [seen for seen in self.history if seen.status != "cancelled"]
        ends_at = self.newest.ends_at
        paid_until = self.end_of(self.basis) if self.basis else None
        if ends_at and paid_until and others[-1].status == "paused":
            return min(ends_at, paid_until)
        return ends_at

    def end_of(self, running: Observation) -> datetime | None:
        """Until when a trial or an active subscription is served without another payment."""
        return running.trial_ends_at if running.status == "on_trial" else running.renews_at

    def own_tier(self) -> TierName:
        """The highest tier that was active in the period; so a downgrade waits for its end."""
        if self.period is not None:
            return self.period.tier
        trial_ends_at = self.basis.trial_ends_at if self.basis else None
        in_trial = self.is_trial and trial_ends_at is not None and self.now < trial_ends_at
        return self.trial_tier() if in_trial else self.newest.tier

    def trial_tier(self) -> TierName:
        """The highest tier of the trial."""
        tiers = (seen.tier for seen in self.history if seen.status == "on_trial")
        return max(tiers, key=tier_rank)

    def due_trial(self) -> DueGrant | None:
        """The trial's credits: a quarter of the month of the plan that it began with, until the
        trial ends. Another plan within the trial gives its limits, and no more credits."""
        end = self.basis.trial_ends_at if self.basis else None
        serving = self.newest.status in ("on_trial", "cancelled", "paused") and not self.is_over
        if end is None or end <= self.now or not serving:
            return None
        tier = next(seen.tier for seen in self.history if seen.status == "on_trial")
        key = f"trial:{self.newest.subscription}:{tier}"
        return DueGrant(key, "trial", month_of(tier) // TRIAL_SHARE, end)

    def due_plan(self) -> DueGrant | None:
        """The credits of the month around now, unless nothing was paid for it or it was refunded.

        While payment is suspended only a month that had begun before is due.
        """
        period = self.period
        if period is None or self.is_over or self.is_refunded(period) or self.is_free(period):
            return None
        month = period.slice_at(self.now)
        suspended = self.since(*SUSPENDED)
        if suspended is not None and month.start > suspended:
            return None
        key = f"plan:{self.newest.subscription}:{month.end:%Y-%m-%d}:{period.tier}"
        amount = month_of(period.tier)
        return DueGrant(key, "plan", amount, month.end, tuple(self.reversals(period, amount)))

    def payments_of(self, period: Period) -> Sequence[Payment]:
        """The paid invoices of a period."""
        return [one for one in self.payments if one.is_paid and self.is_for(one, period)]

    def is_for(self, payment: Payment, period: Period) -> bool:
        """Whether an invoice is of a period: where two begin within days, of the nearer one."""
        if payment.reason == "updated" or not period.is_paid_by(payment):
            return period.is_paid_by(payment)
        rivals = [known for known in self.periods if known.is_paid_by(payment)]
        return period == min(rivals, key=lambda known: abs(known.start - payment.created_at))

    def is_refunded(self, period: Period) -> bool:
        """A payment of the period was given back in full; of a change of plan, all of the price."""
        return any(
            payment.share_of(period.price_cents) >= 1 for payment in self.payments_of(period)
        )

    def is_free(self, period: Period) -> bool:
        """The period began during a pause, in which billing cycles pass without a charge."""
        before = [seen for seen in self.history if seen.updated_at <= period.start]
        began_paused = bool(before) and before[-1].status == "paused"
        return began_paused and not self.payments_of(period)

    def reversals(self, period: Period, amount: int) -> Iterator[Reversal]:
        """What partial refunds of the period take back of a grant, each its share."""
        for payment in self.payments_of(period):
            if share := int(amount * payment.share_of(period.price_cents)):
                yield Reversal(f"invoices:{payment.invoice}", share)

    def ending(self) -> Ending:
        """Why a grant that is not due any more ends."""
        if self.is_over:
            return "expired"
        refunded = self.period is not None and self.is_refunded(self.period)
        return "refunded" if refunded else "replaced"

    def turns(self) -> Iterator[datetime]:
        """Moments at which the standing changes by itself."""
        if self.is_over:
            return
        for period in self.periods:
            yield period.start
            if self.now < period.end:
                yield period.slice_at(self.now).end
        trial_ends_at = self.basis.trial_ends_at if self.basis else None
        for moment in (self.entitled_until(), trial_ends_at, self.newest.ends_at):
            if moment is not None:
                yield moment


def month_of(tier: TierName) -> int:
    """Milli-credits that a tier gives a month."""
    return load_catalogue().tier(tier).credits_month * MILLI


def trial_holder(observations: Iterable[Observation]) -> str | None:
    """The one subscription of a user whose trial gives credits: the first, for ever."""
    trials = [seen for seen in observations if seen.status == "on_trial"]
    first = min(trials, key=lambda seen: (seen.created_at, seen.subscription), default=None)
    return first.subscription if first else None


def highest_tier(standings: Iterable[Standing]) -> TierName:
    """Of several subscriptions the highest tier counts."""
    return max((standing.tier for standing in standings), key=tier_rank, default=DEFAULT_TIER)
