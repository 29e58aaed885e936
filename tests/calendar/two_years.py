"""The simulation: every day of two years, on the provider's side, on ours and on the clerk's."""

import random
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from uuid import UUID

from libs.kernel.ids import new_id
from libs.testkit.lemon_squeezy.books import Books, Event, new_books, take_events
from libs.testkit.lemon_squeezy.clock import advance
from libs.testkit.lemon_squeezy.records import Invoice
from tests.calendar.clerk import Account, glance, look, open_paper_account
from tests.calendar.ours import NewHold, Ours, Settlement, in_lanes
from tests.calendar.paper import PaperHold
from tests.calendar.scripts import SEED, Script, Spending, Step
from tests.calendar.storekeeper import Customer, perform

BEGIN = datetime(2027, 11, 1, tzinfo=UTC)
NOON = timedelta(hours=12)
LOST_AFTER = timedelta(days=2, hours=6)  # when a hold that nobody settles is given back
DUPLICATES, REPLAYS, DISORDER = 0.15, 0.02, 0.5


@dataclass
class Job:
    """A hold on both sides; it ends at noon of `day`, or is lost at `expires_at`."""

    hold_id: UUID
    paper: PaperHold
    captured: int
    day: int | None
    expires_at: datetime | None


@dataclass
class Calendar:
    """The state of the simulation."""

    ours: Ours
    customers: list[Customer]
    books: Books = field(default_factory=lambda: new_books(BEGIN, seed="two years"))
    accounts: dict[UUID, Account] = field(default_factory=dict)
    invoices: dict[int, list[Invoice]] = field(default_factory=lambda: defaultdict(list))
    known_invoices: int = 0
    jobs: dict[UUID, list[Job]] = field(default_factory=lambda: defaultdict(list))
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))
    archive: deque[Event] = field(default_factory=lambda: deque(maxlen=1000))
    webhooks: int = 0
    steps: dict[int, list[tuple[Step, Customer]]] = field(default_factory=dict)
    spendings: dict[int, list[tuple[Spending, Customer]]] = field(default_factory=dict)


def open_calendar(ours: Ours, scripts: list[Script]) -> Calendar:
    """The evening before the first day."""
    calendar = Calendar(ours, [Customer(script) for script in scripts])
    steps, spendings = defaultdict(list), defaultdict(list)
    for customer in calendar.customers:
        script = customer.script
        for step in (script.signs_up, *script.steps):
            steps[step.day].append((step, customer))
        for spending in script.spendings:
            spendings[spending.day].append((spending, customer))
    calendar.steps, calendar.spendings = steps, spendings
    return calendar


async def live_through(calendar: Calendar, day: int) -> None:
    """One day: sign-ups, jobs at noon, what customers do, webhooks, rounds, and the clerk."""
    start = BEGIN + timedelta(days=day)
    steps = sorted(calendar.steps.get(day, ()), key=lambda item: item[0].second)
    await in_lanes(
        partial(sign_up, calendar, customer, start + timedelta(seconds=step.second))
        for step, customer in steps
        if step.what == "sign up"
    )
    calendar.ours.now = start + NOON
    await work_at_noon(calendar, day)
    for step, customer in steps:
        if step.what != "sign up":
            take_step(calendar, customer, step, start + timedelta(seconds=step.second))
    calendar.ours.now = start + timedelta(days=1)
    advance(calendar.books, calendar.ours.now)
    await calendar.ours.receive(post(calendar, take_events(calendar.books)))
    await calendar.ours.do_what_is_due()
    close_books(calendar)


async def sign_up(calendar: Calendar, customer: Customer, now: datetime) -> None:
    """A customer comes, on both sides."""
    calendar.accounts[customer.script.user_id] = open_paper_account(now)
    customer.note(now, "signs up")
    await calendar.ours.sign_up(customer.script.user_id, now)


async def work_at_noon(calendar: Calendar, day: int) -> None:
    """Jobs end and begin."""
    begun: dict[UUID, list[Spending]] = defaultdict(list)
    for spending, customer in calendar.spendings.get(day, ()):
        begun[customer.script.user_id].append(spending)
    busy = {user for user, jobs in calendar.jobs.items() if any(job.day == day for job in jobs)}
    by_user = {customer.script.user_id: customer for customer in calendar.customers}
    await in_lanes(
        partial(run_jobs, calendar, by_user[user], day, begun.get(user, []))
        for user in sorted({*busy, *begun})
    )


async def run_jobs(calendar: Calendar, customer: Customer, day: int, begun: list[Spending]) -> None:
    """A customer's jobs of one noon, on paper and in the ledger."""
    user, now = customer.script.user_id, calendar.ours.now
    paper, jobs = calendar.accounts[user].paper, calendar.jobs[user]
    ended = [job for job in jobs if job.day == day]
    for job in ended:
        jobs.remove(job)
        paper.settle(job.paper, job.captured, now)
        customer.note(now, f"job ends, {job.captured} captured")
    holds, expected = [], []
    for spending in begun:
        amount = max(1, paper.available(now) * spending.share // 100)
        hold = NewHold(new_id(), amount, now + LOST_AFTER if spending.days is None else None)
        laid_aside = paper.hold(amount, now)
        customer.note(now, f"job of {amount}: {'begins' if laid_aside else 'refused'}, {spending}")
        holds.append(hold)
        expected.append(laid_aside is not None)
        if laid_aside is not None:
            ends = None if spending.days is None else day + max(1, spending.days)
            captured = amount * spending.kept // 100
            jobs.append(Job(hold.hold_id, laid_aside, captured, ends, hold.expires_at))
    settlements = [Settlement(job.hold_id, job.captured) for job in ended]
    accepted = await calendar.ours.run_jobs(user, settlements, holds)
    assert accepted == expected, "\n".join([f"jobs: ours {accepted}", *customer.log])


def take_step(calendar: Calendar, customer: Customer, step: Step, now: datetime) -> None:
    """A customer does something at the provider; the clerk saw how it was before."""
    advance(calendar.books, now)
    for sub in customer.subscriptions:
        glance(calendar.accounts[customer.script.user_id], sub, now)
    perform(calendar.books, customer, step)


def post(calendar: Calendar, events: list[Event]) -> list[Event]:
    """The day's webhooks as they arrive: partly in disorder, some twice, some old ones again."""
    dice, count = calendar.dice, len(events)
    sent = [
        (place + dice.random() * count * (dice.random() < DISORDER), event)
        for place, event in enumerate(events)
    ]
    sent += [(dice.random() * count, event) for event in events if dice.random() < DUPLICATES]
    for _ in range(sum(dice.random() < REPLAYS for _ in events)):
        if calendar.archive:
            sent.append((dice.random() * count, dice.choice(calendar.archive)))
    calendar.archive.extend(events)
    calendar.webhooks += len(sent)
    return [event for _, event in sorted(sent, key=lambda item: item[0])]


def close_books(calendar: Calendar) -> None:
    """The clerk's evening."""
    now, books = calendar.ours.now, calendar.books
    for invoice in islice(books.invoices.values(), calendar.known_invoices, None):
        calendar.invoices[invoice.subscription_id].append(invoice)
    calendar.known_invoices = len(books.invoices)
    for customer in calendar.customers:
        account = calendar.accounts.get(customer.script.user_id)
        if account is None:
            continue
        subs = customer.subscriptions
        own = [invoice for sub in subs for invoice in calendar.invoices[sub.id]]
        look(account, subs, own, customer.packs, now)
        lose_jobs(calendar, customer, account, now)


def lose_jobs(calendar: Calendar, customer: Customer, account: Account, now: datetime) -> None:
    """Holds that nobody settled in time are given back."""
    jobs = calendar.jobs.get(customer.script.user_id, [])
    for job in [job for job in jobs if job.expires_at is not None and job.expires_at <= now]:
        jobs.remove(job)
        account.paper.settle(job.paper, 0, now)
        customer.note(now, "a lost job is given back")
    account.paper.expire(now)
