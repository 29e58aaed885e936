"""Customers' lives, as the provider's books write them."""

from libs.testkit.lemon_squeezy.books import find_subscription, latest_invoice
from libs.testkit.lemon_squeezy.changes import cancel, change_variant, pause, resume, unpause
from libs.testkit.lemon_squeezy.charges import fail_next_payments, retry_payment
from libs.testkit.lemon_squeezy.clock import expire_now
from libs.testkit.lemon_squeezy.refunds import refund_invoice, refund_order
from tests.services.payment.till import PRO, SMALL_PACK, STARTER, STUDIO, Till


def refund(till: Till, subscription: int, cents: int | None = None) -> None:
    """Give back the newest payment, or a part of it."""
    invoice = latest_invoice(till.books, subscription)
    assert invoice is not None
    refund_invoice(till.books, invoice.id, cents)


def buys_packs(till: Till) -> None:
    """A pack, of which a part is refunded and then the rest; and one that stays."""
    order = till.buy(SMALL_PACK).order
    till.pass_time(days=1)
    refund_order(till.books, order.id, 150)
    till.pass_time(days=1)
    refund_order(till.books, order.id)
    till.buy(2002)


def is_refunded_in_part(till: Till) -> None:
    subscription = till.subscribe(PRO)
    till.pass_time(days=3)
    refund(till, subscription, 1_500)


def is_refunded(till: Till) -> None:
    subscription = till.subscribe(PRO)
    till.pass_time(days=3)
    refund(till, subscription)


def tries_and_cancels(till: Till) -> None:
    subscription = till.subscribe(PRO, skip_trial=False)
    till.pass_time(days=2)
    cancel(till.books, subscription)


def grows(till: Till) -> None:
    subscription = till.subscribe(STARTER)
    till.pass_time(days=10)
    change_variant(till.books, subscription, STUDIO, invoice_immediately=True)


def shrinks(till: Till) -> None:
    subscription = till.subscribe(STUDIO)
    till.pass_time(days=10)
    change_variant(till.books, subscription, STARTER, disable_prorations=True)


def fails(till: Till) -> None:
    subscription = till.subscribe(PRO)
    fail_next_payments(till.books, subscription)
    till.pass_time(days=29)


def is_paid_and_ends(till: Till) -> None:
    """A trial, a payment, a cancellation, the end."""
    subscription = till.subscribe(PRO, skip_trial=False)
    till.pass_time(days=9)
    cancel(till.books, subscription)
    till.pass_time(days=40)


def hesitates(till: Till) -> None:
    """A year: paused before a month of it begins, taken up again in that month."""
    subscription = till.subscribe(1012)
    till.pass_time(days=20)
    pause(till.books, subscription)
    till.pass_time(days=20)
    unpause(till.books, subscription)


def lives_long(till: Till) -> None:
    """Trial, payment, upgrade, failure, recovery, cancellation and back, refunds, the end."""
    subscription = till.subscribe(STARTER, skip_trial=False)
    till.pass_time(days=7)
    till.buy(SMALL_PACK)
    till.pass_time(days=10)
    change_variant(till.books, subscription, PRO, invoice_immediately=True)
    fail_next_payments(till.books, subscription)
    till.pass_time(days=19)
    retry_payment(till.books, find_subscription(till.books, subscription))
    till.pass_time(days=5)
    cancel(till.books, subscription)
    resume(till.books, subscription)
    till.pass_time(days=25)
    refund(till, subscription, 2_500)
    refund(till, subscription)
    till.pass_time(days=3)
    expire_now(till.books, subscription)


def changes_and_pauses(till: Till) -> None:
    """A year that shrinks, grows, pauses over a month, and is cancelled."""
    subscription = till.subscribe(1012)
    till.pass_time(days=3)
    change_variant(till.books, subscription, 1002, disable_prorations=True)
    till.pass_time(days=20)
    pause(till.books, subscription)
    till.pass_time(days=30)
    unpause(till.books, subscription)
    change_variant(till.books, subscription, 1022, invoice_immediately=True)
    refund(till, subscription, 5_000)
    till.pass_time(days=10)
    cancel(till.books, subscription)
