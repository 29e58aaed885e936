"""Changes of a subscription that a customer or the store asks for."""

from datetime import datetime
from typing import Literal

from libs.testkit.lemon_squeezy.announcements import changed
from libs.testkit.lemon_squeezy.books import Books, find_subscription
from libs.testkit.lemon_squeezy.catalogue import VARIANTS
from libs.testkit.lemon_squeezy.charges import (
    charge_now,
    interval_of,
    renew,
    void_open_invoice,
)
from libs.testkit.lemon_squeezy.dates import next_occurrence, next_period_end
from libs.testkit.lemon_squeezy.records import Pause, Refused, Status, Subscription

ATTRIBUTES = "/data/attributes"


def change_variant(
    books: Books,
    subscription_id: int,
    variant_id: int,
    *,
    invoice_immediately: bool = False,
    disable_prorations: bool = False,
) -> Subscription:
    """Move to another variant at once. The difference of what is left of the period is charged
    with the next renewal, or at once, or never (which overrides); another interval begins a new
    period now, which is charged at once. A trial goes on and costs nothing."""
    sub = _changeable(books, subscription_id)
    variant = VARIANTS.get(variant_id)
    if variant is None or variant.interval is None:
        raise Refused("The selected variant is invalid.", 422, f"{ATTRIBUTES}/variant_id")
    if variant_id == sub.variant_id:
        return sub
    left = _share_left(books, sub)
    same_length = variant.interval == interval_of(sub)
    credit = 0 if disable_prorations else round(sub.price * left)
    sub.variant_id, sub.price, sub.item_updated_at = variant_id, variant.price_cents, books.now
    if sub.status != "active":
        changed(books, sub)
    elif not same_length:
        _restart_period(books, sub)
        charge_now(books, sub, sub.price - credit)
    elif disable_prorations:
        changed(books, sub)
    elif invoice_immediately:
        charge_now(books, sub, round(sub.price * left) - credit)
    else:
        sub.balance += round(sub.price * left) - credit
        changed(books, sub)
    return sub


def _changeable(books: Books, subscription_id: int) -> Subscription:
    sub = find_subscription(books, subscription_id)
    if sub.status in ("expired", "cancelled"):
        raise Refused(f"A subscription that is {sub.status} cannot be updated.")
    return sub


def _share_left(books: Books, sub: Subscription) -> float:
    """The share of the paid period that is still ahead, 0 to 1."""
    left = (sub.period_end - books.now) / (sub.period_end - sub.period_start)
    return min(1.0, max(0.0, left))


def _restart_period(books: Books, sub: Subscription) -> None:
    sub.anchor_day, sub.period_start = books.now.day, books.now
    sub.period_end = next_period_end(books.now, interval_of(sub), sub.anchor_day)
    sub.renews_at = sub.period_end


def _running_status(books: Books, sub: Subscription) -> Status:
    on_trial = sub.trial_ends_at is not None and sub.trial_ends_at > books.now
    return "on_trial" if on_trial else "active"


def cancel(books: Books, subscription_id: int) -> Subscription:
    """No further charges; it expires when the paid period ends (at once if that is over)."""
    sub = find_subscription(books, subscription_id)
    if sub.status == "expired":
        raise Refused("An expired subscription cannot be cancelled.")
    if sub.status != "cancelled":
        paid_until = books.now if _owes_the_period(books, sub) else sub.period_end
        void_open_invoice(books, sub)
        sub.status, sub.pause = "cancelled", None
        sub.ends_at = max(paid_until, books.now)
        changed(books, sub, "subscription_cancelled")
    return sub


def _owes_the_period(books: Books, sub: Subscription) -> bool:
    """Whether the running period began with a charge that was declined."""
    owed = books.invoices.get(sub.open_invoice_id or 0)
    return owed is not None and owed.created_at == sub.period_start


def resume(books: Books, subscription_id: int) -> Subscription:
    """Take a cancellation back, while the paid period lasts."""
    sub = find_subscription(books, subscription_id)
    if sub.status == "expired" or (sub.ends_at is not None and sub.ends_at <= books.now):
        raise Refused("An expired subscription cannot be resumed.")
    if sub.status == "cancelled":
        sub.status, sub.ends_at = _running_status(books, sub), None
        sub.renews_at = sub.period_end
        changed(books, sub, "subscription_resumed")
    return sub


def pause(
    books: Books,
    subscription_id: int,
    mode: Literal["void", "free"] = "void",
    resumes_at: datetime | None = None,
) -> Subscription:
    """Stop collecting payments; billing cycles go on without charges."""
    sub = _changeable(books, subscription_id)
    if sub.status in ("past_due", "unpaid"):
        raise Refused(f"A subscription that is {sub.status} cannot be paused.")
    if resumes_at is not None and resumes_at <= books.now:
        raise Refused("It must be in the future.", 422, f"{ATTRIBUTES}/pause/resumes_at")
    sub.status, sub.pause = "paused", Pause(mode, resumes_at)
    changed(books, sub, "subscription_paused")
    return sub


def unpause(books: Books, subscription_id: int) -> Subscription:
    """Collect payments again, from the next renewal on."""
    sub = find_subscription(books, subscription_id)
    if sub.status == "paused":
        sub.status, sub.pause = _running_status(books, sub), None
        changed(books, sub, "subscription_unpaused")
    return sub


def set_trial_end(books: Books, subscription_id: int, moment: datetime | None) -> Subscription:
    """Move the end of a running trial; None ends it now, with the first charge."""
    sub = find_subscription(books, subscription_id)
    pointer = f"{ATTRIBUTES}/trial_ends_at"
    if sub.status != "on_trial":
        raise Refused("The subscription is not on trial.", 422, pointer)
    if moment is not None and moment <= books.now:
        raise Refused("It must be in the future.", 422, pointer)
    end = moment or books.now
    sub.trial_ends_at = sub.period_end = sub.renews_at = end
    sub.anchor_day = end.day
    if moment is None:
        renew(books, sub)
    else:
        changed(books, sub)
    return sub


def set_billing_anchor(books: Books, subscription_id: int, day: int | None) -> Subscription:
    """Collect on another day of the month, from its next occurrence; the days until then are
    charged by share with the next renewal. None or 0: a new period begins and is charged now."""
    sub = _changeable(books, subscription_id)
    if sub.status not in ("active", "on_trial"):
        raise Refused(f"A subscription that is {sub.status} cannot move its billing date.")
    if not day:
        credit = 0 if sub.status == "on_trial" else round(sub.price * _share_left(books, sub))
        sub.status, sub.trial_ends_at = "active", None
        _restart_period(books, sub)
        charge_now(books, sub, sub.price - credit)
        return sub
    end = next_occurrence(books.now, day)
    if sub.status == "active":
        length = next_period_end(sub.period_start, interval_of(sub), sub.anchor_day)
        full = length - sub.period_start
        sub.balance += round(sub.price * ((end - sub.period_end) / full))
    else:
        sub.trial_ends_at = end
    sub.anchor_day, sub.period_end, sub.renews_at = day, end, end
    changed(books, sub)
    return sub
