"""Lives that lead to an event: the newest of what the provider's books tell has not arrived."""

from collections.abc import Awaitable, Callable

from libs.testkit.lemon_squeezy.changes import cancel, change_variant
from libs.testkit.lemon_squeezy.charges import fail_next_payments
from libs.testkit.lemon_squeezy.clock import expire_now
from tests.services.payment.till import PRO, SMALL_PACK, STARTER, STUDIO, Till
from tests.services.payment.told_lives import refund


def subscribes(till: Till) -> None:
    till.subscribe(PRO)


def tries(till: Till) -> None:
    till.subscribe(PRO, skip_trial=False)


def buys_a_pack(till: Till) -> None:
    till.buy(SMALL_PACK)


async def upgrades(till: Till) -> None:
    subscription = till.subscribe(STARTER)
    await till.settle()
    till.pass_time(days=3)
    change_variant(till.books, subscription, STUDIO, invoice_immediately=True)


async def is_refunded(till: Till) -> None:
    subscription = till.subscribe(PRO)
    await till.settle()
    refund(till, subscription)


async def is_refunded_in_part(till: Till) -> None:
    subscription = till.subscribe(PRO)
    await till.settle()
    refund(till, subscription, 1_500)


async def cancels(till: Till) -> None:
    subscription = till.subscribe(PRO)
    await till.settle()
    cancel(till.books, subscription)


async def does_not_pay(till: Till) -> None:
    subscription = till.subscribe(PRO)
    await till.settle()
    fail_next_payments(till.books, subscription)
    till.pass_time(days=28)


async def expires(till: Till) -> None:
    subscription = till.subscribe(PRO)
    await till.settle()
    till.pass_time(days=40)
    await till.settle()
    expire_now(till.books, subscription)


EVENTS = {
    "subscription_created": subscribes,
    "subscription_created on trial": tries,
    "order_created": buys_a_pack,
    "subscription_payment_success": subscribes,
    "subscription_updated": upgrades,
    "subscription_payment_refunded": is_refunded,
    "subscription_payment_refunded in part": is_refunded_in_part,
    "subscription_cancelled": cancels,
    "subscription_payment_failed": does_not_pay,
    "subscription_expired": expires,
}


async def live_until(till: Till, life: Callable[[Till], Awaitable[None] | None]) -> None:
    """A life, in which the newest events have not arrived."""
    lived = life(till)
    if lived is not None:
        await lived
