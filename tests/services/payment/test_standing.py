"""A customer's life as the provider tells it: tier, credits, rows and letters that follow."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from libs.testkit.lemon_squeezy.books import find_subscription
from libs.testkit.lemon_squeezy.changes import (
    cancel,
    change_variant,
    pause,
    resume,
    unpause,
)
from libs.testkit.lemon_squeezy.charges import fail_next_payments, retry_payment
from libs.testkit.lemon_squeezy.checkouts import purchase
from libs.testkit.lemon_squeezy.clock import expire_now
from libs.testkit.lemon_squeezy.refunds import refund_invoice
from services.payment import rounds
from tests.services.payment.lives import at
from tests.services.payment.till import PRO, SMALL_PACK, STARTER, STUDIO, Till, open_till

FREE = 500


@pytest.fixture
async def till(sessions: Callable[[str], Sessions]) -> Till:
    return await open_till(sessions)


async def test_a_purchase_gives_the_plan_its_credits_and_a_receipt(till: Till) -> None:
    subscription = till.subscribe(PRO)
    await till.settle()
    assert await till.tier() == "pro"
    assert await till.credits() == {"free": FREE, "plan": 15_000}
    assert await till.letters() == {"receipt"}
    assert await till.rows(
        "SELECT provider_id, status, tier, entitled_tier, interval, renews_at, due_at, card_brand,"
        " card_last_four, user_email FROM billing.subscriptions WHERE user_id = :user"
    ) == [
        (
            *(str(subscription), "active", "pro", "pro", "month"),
            *(at("2027-02-28 10:00"), at("2027-02-28 10:00")),
            *("visa", "4242", "ada@example.com"),
        )
    ]
    invoices = "SELECT billing_reason, status, total_cents, refunded_cents FROM billing.invoices"
    assert await till.rows(invoices) == [("initial", "paid", 7_500, 0)]
    orders = "SELECT pack, status, total_cents FROM billing.orders"
    assert await till.rows(orders) == [(None, "paid", 7_500)]
    assert {state for _, state, _ in await till.inbox()} == {"applied"}
    audit = "SELECT actor, action, details FROM ops.audit_log WHERE user_id = :user"
    assert await till.rows(audit) == [("billing", "tier.changed", {"from": "free", "to": "pro"})]
    tasks = "SELECT payload -> 'arguments' ->> 'user_id' FROM ops.outbox"
    assert await till.rows(tasks) == [(str(till.user_id),)]


async def test_a_trial_gives_a_quarter_and_becomes_a_plan(till: Till) -> None:
    till.subscribe(PRO, skip_trial=False)
    await till.settle()
    assert (await till.tier(), await till.credits()) == ("pro", {"free": FREE, "trial": 3_750})
    assert await till.letters() == {"trial"}
    till.pass_time(days=7)
    await till.settle()
    assert (await till.tier(), await till.credits()) == ("pro", {"free": FREE, "plan": 15_000})
    assert await till.letters() == {"trial", "receipt"}


async def test_another_address_gets_no_second_trial_credits(till: Till) -> None:
    """The provider gives a trial to every e-mail address; its credits come once a user."""
    custom = {"user_id": str(till.user_id)}
    for address in ("ada@example.com", "lovelace@example.com"):
        purchase(till.books, STUDIO, email=address, custom=custom)
    await till.settle()
    assert (await till.tier(), await till.credits()) == ("studio", {"free": FREE, "trial": 7_500})


async def test_the_months_follow_each_other_and_nothing_rolls_over(till: Till) -> None:
    till.subscribe(PRO)
    await till.settle()
    await till.spend(1_000_000)
    till.pass_time(days=28)
    await till.settle()
    assert (await till.credits())["plan"] == 15_000
    # what a job of the old month holds is still set aside for it
    held = "SELECT sum(amount)::bigint FROM credits.holds WHERE user_id = :user"
    assert await till.rows(held) == [(1_000_000,)]


async def test_a_year_is_given_month_by_month(till: Till) -> None:
    till.subscribe(1012)
    await till.settle()
    given = []
    for _ in range(12):
        ((due_at,),) = await till.rows("SELECT due_at FROM billing.subscriptions")
        given.append((await till.credits())["plan"])
        await till.settle_at(due_at)
    assert given == [15_000] * 12
    assert due_at == at("2028-01-31 10:00")
    assert "plan" not in await till.credits()
    keys = "SELECT count(*) FROM credits.grants WHERE kind = 'plan'"
    assert await till.rows(keys) == [(12,)]


async def test_an_upgrade_replaces_what_is_left_and_keeps_top_ups(till: Till) -> None:
    subscription = till.subscribe(STARTER)
    till.buy(SMALL_PACK)
    await till.settle()
    await till.spend(700_000)
    till.pass_time(days=10)
    change_variant(till.books, subscription, STUDIO, invoice_immediately=True)
    await till.settle()
    assert await till.tier() == "studio"
    assert await till.credits() == {"plan": 30_000, "top_up": 1_000}
    assert await till.letters() == {"receipt", "topup"}
    endings = "SELECT key LIKE '%starter', ending FROM credits.grants WHERE kind = 'plan'"
    assert sorted(await till.rows(endings)) == [(False, None), (True, "replaced")]


async def test_a_downgrade_waits_for_the_next_period(till: Till) -> None:
    subscription = till.subscribe(STUDIO)
    await till.settle()
    change_variant(till.books, subscription, STARTER, disable_prorations=True)
    await till.settle()
    assert (await till.tier(), (await till.credits())["plan"]) == ("studio", 30_000)
    shown = "SELECT tier, entitled_tier FROM billing.subscriptions"
    assert await till.rows(shown) == [("starter", "studio")]
    till.pass_time(days=28)
    await till.settle()
    assert (await till.tier(), (await till.credits())["plan"]) == ("starter", 5_000)


async def test_cancelled_keeps_all_until_the_end_and_then_the_free_month_comes(till: Till) -> None:
    subscription = till.subscribe(PRO)
    till.pass_time(days=5)
    cancel(till.books, subscription)
    await till.settle()
    assert (await till.tier(), (await till.credits())["plan"]) == ("pro", 15_000)
    assert await till.letters() == {"receipt", "cancelled"}
    till.pass_time(days=23)
    await till.settle()
    await rounds.grant_free_months(till.desk)
    assert (await till.tier(), await till.credits()) == ("free", {"free": FREE})
    assert await till.letters() == {"receipt", "cancelled", "ended"}
    next_free = "SELECT next_free_at FROM credits.accounts WHERE user_id = :user"
    assert await till.rows(next_free) == [(at("2027-03-31 10:00"),)]


async def test_a_cancellation_that_is_taken_back_changes_nothing(till: Till) -> None:
    subscription = till.subscribe(PRO)
    cancel(till.books, subscription)
    resume(till.books, subscription)
    await till.settle()
    await till.settle_at(at("2027-02-27 10:00"))
    assert (await till.tier(), (await till.credits())["plan"]) == ("pro", 15_000)


async def test_who_does_not_pay_has_three_days_and_who_recovers_gets_the_month(till: Till) -> None:
    subscription = till.subscribe(PRO)
    fail_next_payments(till.books, subscription, 2)
    till.pass_time(days=28)
    await till.settle()
    assert await till.tier() == "pro"
    assert "plan" not in await till.credits()
    ((since, due_at),) = await till.rows("SELECT past_due_since, due_at FROM billing.subscriptions")
    assert (since, due_at) == (at("2027-02-28 10:00"), at("2027-03-03 10:00"))
    await till.settle_at(due_at)
    assert await till.tier() == "free"
    till.now = None
    till.pass_time(days=4)
    retry_payment(till.books, find_subscription(till.books, subscription))
    await till.settle()
    assert (await till.tier(), (await till.credits())["plan"]) == ("pro", 15_000)
    assert await till.letters() == {"receipt", "payment-failed"}


async def test_who_pays_as_the_grace_ends_gets_no_free_month_on_top(till: Till) -> None:
    """Until all webhooks of the payment are applied, the grace seems to be over."""
    subscription = till.subscribe(PRO)
    fail_next_payments(till.books, subscription, 1)
    till.pass_time(days=28)
    await till.settle()
    till.pass_time(days=3, hours=1)
    await till.settle()
    await rounds.grant_free_months(till.desk)
    assert (await till.tier(), await till.credits()) == ("pro", {"plan": 15_000})


async def test_a_pause_keeps_what_was_paid_and_a_free_cycle_gives_no_credits(till: Till) -> None:
    subscription = till.subscribe(PRO)
    pause(till.books, subscription)
    await till.settle()
    assert (await till.tier(), (await till.credits())["plan"]) == ("pro", 15_000)
    till.pass_time(days=28)
    await till.settle()
    assert await till.tier() == "free"
    unpause(till.books, subscription)
    await till.settle()
    assert (await till.tier(), "plan" in await till.credits()) == ("pro", False)
    till.pass_time(days=31)
    await till.settle()
    assert (await till.credits())["plan"] == 15_000


async def test_what_expires_takes_its_credits_along(till: Till) -> None:
    subscription = till.subscribe(PRO)
    await till.settle()
    expire_now(till.books, subscription)
    await till.settle()
    assert (await till.tier(), await till.credits()) == ("free", {"free": FREE})


async def test_of_two_subscriptions_the_higher_counts_and_both_give_credits(till: Till) -> None:
    till.subscribe(STARTER)
    studio = till.subscribe(STUDIO)
    await till.settle()
    assert (await till.tier(), (await till.credits())["plan"]) == ("studio", 35_000)
    expire_now(till.books, studio)
    await till.settle()
    assert (await till.tier(), (await till.credits())["plan"]) == ("starter", 5_000)


async def test_a_contract_is_not_touched_by_subscriptions(till: Till) -> None:
    contract = "INSERT INTO ops.entitlements (user_id, tier) VALUES (:user, 'enterprise')"
    async with till.admin.begin() as session:
        await session.execute(text(contract), {"user": till.user_id})
    till.subscribe(PRO)
    await till.settle()
    assert (await till.tier(), (await till.credits())["plan"]) == ("enterprise", 15_000)


async def test_the_months_that_free_users_get_pause_while_a_plan_runs(till: Till) -> None:
    next_free = "SELECT next_free_at FROM credits.accounts WHERE user_id = :user"
    assert await till.rows(next_free) == [(at("2027-02-28 10:00"),)]
    till.subscribe(PRO)
    await till.settle()
    assert await till.rows(next_free) == [(None,)]


async def test_what_was_ended_on_half_of_the_facts_comes_back_with_the_other_half(
    till: Till,
) -> None:
    """The month of a year begins, then a pause before it is told, then that it was taken back."""
    subscription = till.subscribe(1012)
    await till.settle()
    till.pass_time(days=20)
    pause(till.books, subscription)
    paused = till.told()
    till.pass_time(days=10)
    unpause(till.books, subscription)
    unpaused = till.told()
    await till.settle_at(at("2027-02-28 10:00"))
    await till.spend(1_000_000)
    till.now = None
    await till.apply(*paused)
    assert "plan" not in await till.credits()
    await till.apply(*unpaused)
    assert (await till.credits())["plan"] == 14_000  # the job keeps what it holds


async def test_the_ledger_adds_up_after_all_of_it(till: Till) -> None:
    subscription = till.subscribe(PRO)
    await till.settle()
    await till.spend(900_000)
    refund_invoice(till.books, next(iter(till.books.invoices)), 1_000)
    till.pass_time(days=40)
    change_variant(till.books, subscription, STUDIO, invoice_immediately=True)
    await till.settle()
    expire_now(till.books, subscription)
    await till.settle()
    async with till.billing.begin() as session:
        assert await ledger_check(session) == []
