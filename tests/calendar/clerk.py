"""A clerk with a paper calendar: the independent recomputation of every customer's credits.

At the end of each day the clerk looks at the provider's records, as one would in its dashboard, and
before each step of a customer at the plan that is about to change. The rules are those of the
domain's sections on tiers, credits and subscriptions, written down a second time: nothing here
knows how the product applies them. Amounts are milli-credits.
"""

from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction

from libs.testkit.lemon_squeezy.catalogue import VARIANTS
from libs.testkit.lemon_squeezy.records import Invoice, Order, Subscription
from libs.tiers.catalogue import PackName, TierName, load_catalogue
from tests.calendar.paper import Paper, PaperGrant

GRACE = timedelta(days=3)
PAID = ("paid", "partial_refund", "refunded")
TIERS: tuple[TierName, ...] = ("free", "starter", "pro", "studio")
PLAN_OF_PRODUCT: dict[int, TierName] = {1000: "starter", 1010: "pro", 1020: "studio"}
PACK_OF_VARIANT: dict[int, PackName] = {2001: "small", 2002: "medium", 2003: "large"}


def month_credits(tier: TierName) -> int:
    return load_catalogue().tier(tier).credits_month * 1_000


def pack_credits(variant: int) -> int:
    return load_catalogue().pack(PACK_OF_VARIANT[variant]).credits * 1_000


def months_after(start: datetime, months: int, day: int) -> datetime:
    """The `day` of a later month, or its last: 31 January, 28 February, 31 March."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(day, monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)


def month_around(start: datetime, now: datetime, day: int) -> tuple[datetime, datetime]:
    """Begin and end of the month, counted from `start`, in which `now` lies."""
    count = 0
    while months_after(start, count + 1, day) <= now:
        count += 1
    return months_after(start, count, day), months_after(start, count + 1, day)


def tier_of_variant(variant: int) -> TierName:
    return PLAN_OF_PRODUCT[VARIANTS[variant].product_id]


@dataclass(frozen=True)
class Period:
    """What one charge pays for; `tier` is the highest plan that was active in it."""

    end: datetime
    tier: TierName
    price_cents: int


@dataclass(frozen=True)
class Month:
    """A part of a billing period for which credits are given at once."""

    period: datetime
    kind: str
    end: datetime


@dataclass
class Page:
    """What the clerk keeps of one subscription.

    `periods`: the billing periods by their begin.
    `months`: the months, by their begin, in which it ran at some moment.
    `given`: its grants, by the date of their end and the plan.
    """

    began_with: TierName
    trial_credits: bool
    periods: dict[datetime, Period] = field(default_factory=dict)
    months: dict[datetime, Month] = field(default_factory=dict)
    last: datetime | None = None
    past_due_since: datetime | None = None
    paid_until: datetime | None = None
    given: dict[tuple[date, TierName], PaperGrant] = field(default_factory=dict)
    period_of: dict[PaperGrant, datetime] = field(default_factory=dict)
    asked: dict[tuple[int, PaperGrant], int] = field(default_factory=dict)

    def period_around(self, invoice: Invoice) -> datetime:
        """The begin of the period in which an invoice was written."""
        return max(start for start in self.periods if start <= invoice.created_at)


@dataclass
class Account:
    """A customer at the clerk's desk."""

    opened_at: datetime
    paper: Paper = field(default_factory=Paper)
    tier: TierName = "free"
    pages: dict[int, Page] = field(default_factory=dict)
    packs: dict[int, PaperGrant] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)
    free_months: set[datetime] = field(default_factory=set)
    had_trial: bool = False


def open_paper_account(now: datetime) -> Account:
    """A sign-up, with its free month."""
    account = Account(now)
    give_free_month(account, now)
    return account


def month_of(sub: Subscription, now: datetime) -> tuple[datetime, Month]:
    """The month around `now` of a subscription that runs: a year is cut from its start."""
    start, end = sub.period_start, sub.period_end
    if sub.trial_ends_at is not None:
        return start, Month(start, "trial", sub.trial_ends_at)
    if VARIANTS[sub.variant_id].interval == "month":
        return start, Month(start, "plan", end)
    begin, month_end = month_around(start, now, sub.anchor_day)
    return begin, Month(start, "plan", min(month_end, end))


def period_of(sub: Subscription, seen: Period | None) -> Period:
    """The running period, given what was seen of it before."""
    now, interval = tier_of_variant(sub.variant_id), VARIANTS[sub.variant_id].interval
    tier = max(seen.tier if seen else now, now, key=TIERS.index)
    assert interval is not None
    return Period(sub.period_end, tier, load_catalogue().tier(tier).price_cents(interval) or 0)


def glance(account: Account, sub: Subscription, now: datetime) -> None:
    """Note what a subscription is at this moment."""
    if sub.id not in account.pages:
        holds_trial = sub.status == "on_trial" and not account.had_trial
        account.pages[sub.id] = Page(tier_of_variant(sub.variant_id), holds_trial)
        account.had_trial = account.had_trial or holds_trial
    page, start = account.pages[sub.id], sub.period_start
    if sub.status in ("on_trial", "active"):
        page.periods[start], page.last = period_of(sub, page.periods.get(start)), start
    is_leaving = sub.status == "cancelled" and sub.ends_at is not None and sub.ends_at > now
    if is_leaving or sub.status in ("on_trial", "active"):
        begin, month = month_of(sub, now)
        page.months[begin] = month
    if sub.status not in ("past_due", "unpaid"):
        page.past_due_since = None
    elif page.past_due_since is None:
        page.past_due_since = sub.updated_at
    if sub.status not in ("paused", "cancelled"):
        page.paid_until = None
    elif sub.status == "paused" and page.paid_until is None and page.last is not None:
        page.paid_until = page.periods[page.last].end


def entitled_until(page: Page, sub: Subscription) -> datetime | None:
    """When the plan ends if nothing else happens; None: not before something happens."""
    if sub.status == "cancelled" and page.paid_until is not None and sub.ends_at is not None:
        return min(page.paid_until, sub.ends_at)  # it was paused before
    if sub.status == "cancelled":
        return sub.ends_at
    if sub.status == "past_due":
        assert page.past_due_since is not None
        return page.past_due_since + GRACE
    if sub.status == "paused":
        return page.paid_until
    return sub.updated_at if sub.status in ("unpaid", "expired") else None


def tier_of(page: Page, sub: Subscription, now: datetime) -> TierName:
    """The plan that a subscription gives now: while a period lasts, its highest."""
    until = entitled_until(page, sub)
    if page.last is None or (until is not None and until <= now):
        return "free"
    period = page.periods[page.last]
    return period.tier if now < period.end else tier_of_variant(sub.variant_id)


def look(
    account: Account,
    subs: Iterable[Subscription],
    invoices: Iterable[Invoice],
    packs: Iterable[Order],
    now: datetime,
) -> None:
    """The end of a day: bring the account to what the provider's records say."""
    paper, owned = account.paper, list(subs)
    paper.expire(now)
    for sub in owned:
        glance(account, sub, now)
    account.tier = max(
        (tier_of(account.pages[sub.id], sub, now) for sub in owned),
        key=TIERS.index,
        default="free",
    )
    billed = [invoice for invoice in invoices if invoice.status in PAID]
    for sub in owned:
        paid = [invoice for invoice in billed if invoice.subscription_id == sub.id]
        credit_plan(account, sub, paid, now)
    for order in packs:
        credit_pack(account, order, now)
    if account.tier == "free":
        give_free_month(account, now)


def give_free_month(account: Account, now: datetime) -> None:
    """The free month in which `now` lies, once."""
    begin, end = month_around(account.opened_at, now, account.opened_at.day)
    if begin not in account.free_months:
        account.free_months.add(begin)
        account.paper.give("free", month_credits("free"), end, now)


def credit_plan(
    account: Account, sub: Subscription, paid: Sequence[Invoice], now: datetime
) -> None:
    """The months of a subscription, the refunds of its periods, and the end of what it gave."""
    page = account.pages[sub.id]
    if sub.status == "expired":
        for grant in page.given.values():
            account.paper.finish(grant, "expired", now)
        return
    for start, period in page.periods.items():
        own = [invoice for invoice in paid if page.period_around(invoice) == start]
        shares = {invoice.id: share_back(invoice, period) for invoice in own}
        if any(share == 1 for share in shares.values()):
            take_all_back(account, page, start, now)
            continue
        for month in page.months.values():
            if own and month.period == start == sub.period_start and now < month.end:
                give_month(account, page, month, now)
        for invoice, share in shares.items():
            ask_back(account, page, start, invoice, share, now)


def share_back(invoice: Invoice, period: Period) -> Fraction:
    """The part of a period that was given back; a change of plan paid a part of its price."""
    cost = period.price_cents if invoice.reason == "updated" else invoice.total
    return Fraction(min(invoice.refunded, cost), cost) if cost else Fraction(0)


def take_all_back(account: Account, page: Page, start: datetime, now: datetime) -> None:
    """A period's price was given back: so are its credits."""
    for grant in page.given.values():
        if page.period_of[grant] == start:
            account.paper.finish(grant, "refunded", now)


def give_month(account: Account, page: Page, month: Month, now: datetime) -> None:
    """A trial's quarter or a month's credits, once; they replace what was given before."""
    is_trial = month.kind == "trial"
    tier = page.began_with if is_trial else page.periods[month.period].tier
    key = (month.end.date(), tier)
    if key in page.given or (is_trial and not page.trial_credits):
        return
    for grant in page.given.values():
        account.paper.finish(grant, "replaced", now)
    amount = month_credits(tier) // (4 if is_trial else 1)
    page.given[key] = account.paper.give(month.kind, amount, month.end, now)
    page.period_of[page.given[key]] = month.period


def ask_back(
    account: Account, page: Page, start: datetime, invoice: int, share: Fraction, now: datetime
) -> None:
    """The share of a period that was given back, of its grants, less what was asked before."""
    for grant in page.given.values():
        if page.period_of[grant] == start and grant.ending is None:
            wanted = int(grant.amount * share)
            before = page.asked.get((invoice, grant), 0)
            if wanted > before:
                account.paper.take_back(grant, wanted - before, now)
                page.asked[invoice, grant] = wanted


def credit_pack(account: Account, order: Order, now: datetime) -> None:
    """A pack of credits, and what of it was given back."""
    paper = account.paper
    if order.id not in account.packs:
        account.packs[order.id] = paper.give("top_up", pack_credits(order.variant_id), None, now)
    grant = account.packs[order.id]
    if order.refunded == order.total:
        paper.finish(grant, "refunded", now)
        return
    share = grant.amount * order.refunded // order.total
    paper.take_back(grant, share - account.asked.get(order.id, 0), now)
    account.asked[order.id] = share
