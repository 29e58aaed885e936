"""Does in the provider's books what the scripts say, at the second that they say."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from libs.testkit.lemon_squeezy.books import Books
from libs.testkit.lemon_squeezy.catalogue import VARIANTS
from libs.testkit.lemon_squeezy.changes import (
    cancel,
    change_variant,
    pause,
    resume,
    set_trial_end,
    unpause,
)
from libs.testkit.lemon_squeezy.charges import fail_next_payments, update_card
from libs.testkit.lemon_squeezy.checkouts import purchase
from libs.testkit.lemon_squeezy.clock import expire_now
from libs.testkit.lemon_squeezy.records import (
    CARD_DECLINED_AT_RENEWAL,
    GOOD_CARD,
    Order,
    Refused,
    Subscription,
)
from libs.testkit.lemon_squeezy.refunds import refund_invoice, refund_order
from tests.calendar.scripts import Script, Step

PLANS = (1001, 1011, 1021)


@dataclass
class Customer:
    """A script, what came of it, and what the provider has of the customer by now."""

    script: Script
    subscriptions: list[Subscription] = field(default_factory=list)
    packs: list[Order] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    refunded_on: date | None = None
    happened: Counter[str] = field(default_factory=Counter)

    def note(self, moment: datetime, text: str) -> None:
        self.log.append(f"{moment:%Y-%m-%d %H:%M:%S} {text}")

    @property
    def current(self) -> Subscription:
        """The last subscription. Raises Refused if there was none."""
        if not self.subscriptions:
            raise Refused("There is no subscription.")
        return self.subscriptions[-1]


def perform(books: Books, customer: Customer, step: Step) -> None:
    """Do one step now, and note it; what the provider refuses is noted as refused."""
    try:
        done = VERBS[step.what](books, customer, step)
        customer.happened[step.what] += 1
    except Refused as refusal:
        done = f"refused: {refusal.detail}"
    customer.note(books.now, f"{step.what} {step.number}: {done}")


def _subscribe(books: Books, customer: Customer, step: Step) -> str:
    """Buy a plan, unless one is running."""
    if customer.subscriptions and customer.current.status not in ("expired", "cancelled"):
        raise Refused("There is a plan already.")
    box = "another" if step.what == "subscribe as another" else "own"
    made = purchase(
        books,
        step.number,
        email=f"{customer.script.name}@{box}.example",
        custom={"user_id": str(customer.script.user_id)},
        skip_trial=step.what == "subscribe without trial",
    ).subscription
    assert made is not None
    customer.subscriptions.append(made)
    return f"{made.status} until {made.period_end:%Y-%m-%d %H:%M:%S}"


def _move(books: Books, customer: Customer, step: Step, variant: int) -> str:
    """Change the plan, charged in one of the three manners of the provider."""
    manners: tuple[dict[str, bool], ...] = ({"invoice_immediately": True}, {})
    options = {"disable_prorations": True} if step.what == "down" else manners[step.number % 2]
    sub = change_variant(books, customer.current.id, variant, **options)
    return f"{variant}, {sub.status} until {sub.period_end:%Y-%m-%d %H:%M:%S}"


def _up(books: Books, customer: Customer, step: Step) -> str:
    place = PLANS.index(customer.current.variant_id // 10 * 10 + 1)
    if place == len(PLANS) - 1:
        raise Refused("It is the highest plan.")
    return _move(books, customer, step, customer.current.variant_id + 10)


def _down(books: Books, customer: Customer, step: Step) -> str:
    if customer.current.variant_id < PLANS[1]:
        raise Refused("It is the lowest plan.")
    return _move(books, customer, step, customer.current.variant_id - 10)


def _other_interval(books: Books, customer: Customer, step: Step) -> str:
    """Not on the day of the month on which its months begin: two months that end on one day are
    one, and which of them is told first decides the hour of its end."""
    sub = customer.current
    if sub.status not in ("active", "on_trial") or sub.period_start.day == books.now.day:
        raise Refused("Not in this state, or not on this day.")
    variant = VARIANTS[customer.current.variant_id]
    other = variant.id + 1 if variant.interval == "month" else variant.id - 1
    return _move(books, customer, step, other)


def _cancel(books: Books, customer: Customer, _: Step) -> str:
    return f"until {cancel(books, customer.current.id).ends_at}"


def _resume(books: Books, customer: Customer, _: Step) -> str:
    return resume(books, customer.current.id).status


def _decline(books: Books, customer: Customer, step: Step) -> str:
    fail_next_payments(books, customer.current.id, step.number)
    return customer.current.status


def _good_card(books: Books, customer: Customer, _: Step) -> str:
    return f"{update_card(books, customer.current.id, GOOD_CARD)}, {customer.current.status}"


def _bad_card(books: Books, customer: Customer, _: Step) -> str:
    update_card(books, customer.current.id, CARD_DECLINED_AT_RENEWAL)
    return customer.current.status


def _refund(books: Books, customer: Customer, step: Step) -> str:
    """A share of the last invoice that cost something; not on the day on which the plan ended."""
    ended = customer.current.ends_at
    if ended is not None and ended.date() == books.now.date():
        raise Refused("Not on this day.")
    own = [i for i in books.invoices.values() if i.subscription_id == customer.current.id]
    paid = [i for i in own if i.total and i.status in ("paid", "partial_refund")]
    if not paid:
        raise Refused("Nothing was paid.")
    last = paid[-1]
    refund_invoice(books, last.id, _cents(step.number, last.total))
    customer.refunded_on = books.now.date()
    return f"{last.reason} invoice of {last.created_at}: {last.refunded} of {last.total}"


def _cents(percent: int, total: int) -> int | None:
    """About so many percent of the total, an uneven sum; None for all that is left."""
    return None if percent == 100 else max(1, total * percent // 100 - 1)


def _pack(books: Books, customer: Customer, step: Step) -> str:
    """One a day: webhooks are applied at its end, so that two packs would have one age."""
    if customer.packs and customer.packs[-1].created_at.date() == books.now.date():
        raise Refused("One pack a day.")
    custom = {"user_id": str(customer.script.user_id)}
    order = purchase(
        books, step.number, email=f"{customer.script.name}@own.example", custom=custom
    ).order
    customer.packs.append(order)
    return f"{order.total} cents"


def _refund_pack(books: Books, customer: Customer, step: Step) -> str:
    if not customer.packs:
        raise Refused("There is no pack.")
    order = customer.packs[-1]
    refund_order(books, order.id, _cents(step.number, order.total))
    return f"{order.refunded} of {order.total}"


def _pause(books: Books, customer: Customer, step: Step) -> str:
    """Until somebody ends it, or for some days."""
    until = books.now + timedelta(days=step.number) if step.number > 30 else None
    paused = pause(books, customer.current.id, "free" if step.number % 2 else "void", until)
    return f"until {until}, cycle ends {paused.period_end}"


def _unpause(books: Books, customer: Customer, _: Step) -> str:
    return unpause(books, customer.current.id).status


def _end_now(books: Books, customer: Customer, _: Step) -> str:
    """Not on the day of a refund: which of them is told first says why the credits ended."""
    if customer.refunded_on == books.now.date():
        raise Refused("Not on this day.")
    return expire_now(books, customer.current.id).status


def _end_trial(books: Books, customer: Customer, _: Step) -> str:
    return set_trial_end(books, customer.current.id, None).status


VERBS: dict[str, Callable[[Books, Customer, Step], str]] = {
    "subscribe": _subscribe,
    "subscribe without trial": _subscribe,
    "subscribe as another": _subscribe,
    "up": _up,
    "down": _down,
    "other interval": _other_interval,
    "cancel": _cancel,
    "resume": _resume,
    "decline": _decline,
    "good card": _good_card,
    "bad card": _bad_card,
    "refund": _refund,
    "refund pack": _refund_pack,
    "pack": _pack,
    "pause": _pause,
    "unpause": _unpause,
    "end now": _end_now,
    "end trial": _end_trial,
}
