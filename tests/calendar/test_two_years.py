"""Two years of 1,000 customers: to the milli-credit what a clerk with a paper calendar reckons."""

import time
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from services.payment.rounds import failed_users
from tests.calendar.comparison import (
    TIERS,
    Picture,
    differences,
    different_grants,
    in_database,
    on_paper,
    total,
)
from tests.calendar.ours import Ours
from tests.calendar.scripts import DAYS, write_scripts
from tests.calendar.storekeeper import VERBS, Customer
from tests.calendar.two_years import BEGIN, Calendar, live_through, open_calendar

CUSTOMERS = 1_000
SHOWN = 5  # customers whose whole story a failure tells
OFTEN = 10  # each thing that can happen must happen so often
WAITING = text("SELECT event_name, state, problem FROM billing.inbox WHERE state <> 'applied'")
FIGURES = text(
    "SELECT (SELECT count(*) FROM billing.inbox) AS events,"
    " (SELECT count(*) FROM credits.grants) AS grants,"
    " (SELECT count(*) FROM credits.postings) AS postings,"
    " (SELECT count(DISTINCT reference) FROM credits.transfers WHERE kind = 'hold') AS holds"
)


def story(customer: Customer, differing: list[str]) -> str:
    """What differs, and everything that the customer did."""
    name = f"{customer.script.name} ({customer.script.kind}, {customer.script.user_id})"
    return "\n  ".join([f"{name}:", *differing, "--", *customer.log])


def fail_for(calendar: Calendar, stories: list[str]) -> None:
    """Fail if there are customers with a difference, and tell what some of them did."""
    if stories:
        shown = "\n".join(stories[:SHOWN])
        pytest.fail(f"{calendar.ours.now}: {len(stories)} customers differ\n{shown}", pytrace=False)


async def compare_tiers(calendar: Calendar, admin: Sessions) -> None:
    """Every customer's plan, at the end of a day."""
    async with admin() as session:
        tiers = {row.user_id: row.tier for row in await session.execute(TIERS)}
    stories = []
    for customer in calendar.customers:
        user = customer.script.user_id
        expected = calendar.accounts[user].tier if user in calendar.accounts else "free"
        if (found := tiers.get(user, "free")) != expected:
            stories.append(story(customer, [f"tier: clerk {expected}, ours {found}"]))
    fail_for(calendar, stories)


async def compare(calendar: Calendar, admin: Sessions) -> None:
    """Every customer, the audit, the inbox and the sum over all, at the end of a day."""
    stories = []
    async with admin() as session:
        ours = await in_database(session)
        assert await ledger_check(session) == []
        assert (await session.execute(WAITING)).all() == []
        paper = {user: on_paper(account) for user, account in calendar.accounts.items()}
        for customer in calendar.customers:
            user = customer.script.user_id
            if user in paper and (lines := differences(paper[user], ours.get(user, Picture()))):
                lines += await different_grants(session, calendar.accounts[user], user)
                stories.append(story(customer, lines))
    fail_for(calendar, stories)
    assert total(ours) == total(paper)


def failures() -> list[object]:
    """Users whom a round failed to settle."""
    return [sample for metric in failed_users.collect() for sample in metric.samples]


async def test_two_years_reconcile_to_the_millicredit(
    sessions: Callable[[str], Sessions], capsys: pytest.CaptureFixture[str]
) -> None:
    begin, admin, failed_before = time.monotonic(), sessions("admin"), failures()
    ours = Ours(sessions("user"), sessions("generation"), sessions("billing"), BEGIN)
    calendar = open_calendar(ours, write_scripts(CUSTOMERS))
    for day in range(DAYS):
        await live_through(calendar, day)
        await compare_tiers(calendar, admin)
        if ours.now.day == 1 or day == DAYS - 1:
            await compare(calendar, admin)
    assert (len(calendar.accounts), failures()) == (CUSTOMERS, failed_before)
    happened = sum((customer.happened for customer in calendar.customers), Counter[str]())
    assert {what: happened[what] for what in VERBS if happened[what] < OFTEN} == {}
    async with admin() as session:
        figures = dict((await session.execute(FIGURES)).mappings().one())
    with capsys.disabled():
        seconds = time.monotonic() - begin
        print(f"\n{seconds:.0f} s, {calendar.webhooks} webhooks, {figures}, {dict(happened)}")
