"""The clock of the books: what falls due happens in the order of its time."""

import heapq
from datetime import datetime

from libs.testkit.lemon_squeezy.announcements import changed, due_at
from libs.testkit.lemon_squeezy.books import Books, find_subscription
from libs.testkit.lemon_squeezy.changes import unpause
from libs.testkit.lemon_squeezy.charges import (
    begin_period,
    renew,
    retry_payment,
    void_open_invoice,
    write_invoice,
)
from libs.testkit.lemon_squeezy.dates import whole_second
from libs.testkit.lemon_squeezy.records import Refused, Subscription


def advance(books: Books, to: datetime) -> None:
    """Move the clock to `to`; everything that falls due on the way happens at its own time.

    Raises Refused if `to` is in the past of the books.
    """
    to = whole_second(to)
    if to < books.now:
        raise Refused("The clock does not go back.")
    while books.agenda and books.agenda[0][0] <= to:
        due, subscription_id = heapq.heappop(books.agenda)
        sub = books.subscriptions[subscription_id]
        if due_at(books, sub) == due:
            books.now = max(books.now, due)
            _happen(books, sub)
    books.now = to


def _happen(books: Books, sub: Subscription) -> None:
    if sub.status == "cancelled":
        _expire(books, sub)
    elif sub.status == "unpaid":
        void_open_invoice(books, sub)
        sub.ends_at = books.now
        _expire(books, sub)
    elif sub.status == "past_due":
        retry_payment(books, sub)
    elif sub.status == "paused":
        _paused(books, sub)
    else:
        renew(books, sub)


def _expire(books: Books, sub: Subscription) -> None:
    sub.status = "expired"
    changed(books, sub, "subscription_expired")


def _paused(books: Books, sub: Subscription) -> None:
    """A pause ends, or a billing cycle passes without a charge."""
    if sub.pause is not None and sub.pause.resumes_at == books.now:
        unpause(books, sub.id)
        return
    if sub.pause is not None and sub.pause.mode == "void":
        write_invoice(books, sub, "renewal", sub.price).status = "void"
    sub.trial_ends_at = None
    begin_period(sub)
    changed(books, sub)


def expire_now(books: Books, subscription_id: int) -> Subscription:
    """End a subscription at once, whatever its state (no such call in the API)."""
    sub = find_subscription(books, subscription_id)
    if sub.status == "expired":
        raise Refused("The subscription has expired already.")
    void_open_invoice(books, sub)
    sub.ends_at, sub.pause = books.now, None
    _expire(books, sub)
    return sub
