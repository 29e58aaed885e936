"""Charges: invoices, renewals, failed payments with their retries, and recovery."""

from datetime import timedelta

from libs.testkit.lemon_squeezy.announcements import announce_invoice, changed
from libs.testkit.lemon_squeezy.books import Books, find_invoice, find_subscription, later, next_id
from libs.testkit.lemon_squeezy.catalogue import VARIANTS, Interval
from libs.testkit.lemon_squeezy.dates import next_period_end
from libs.testkit.lemon_squeezy.records import (
    BillingReason,
    Card,
    Invoice,
    Refused,
    Subscription,
)


def interval_of(sub: Subscription) -> Interval:
    return VARIANTS[sub.variant_id].interval or "month"


def write_invoice(books: Books, sub: Subscription, reason: BillingReason, subtotal: int) -> Invoice:
    """An invoice that waits for its payment; below zero it costs nothing and the rest is a
    credit on the next one."""
    subtotal += sub.balance
    sub.balance = min(0, subtotal)
    invoice = Invoice(
        id=next_id(books, "invoices"),
        subscription_id=sub.id,
        customer_id=sub.customer_id,
        reason=reason,
        status="pending",
        subtotal=subtotal,
        total=max(0, subtotal),
        card=sub.card,
        created_at=books.now,
        updated_at=books.now,
    )
    books.invoices[invoice.id] = invoice
    return invoice


def pays(sub: Subscription, invoice: Invoice) -> bool:
    """Whether the card of the subscription pays the invoice."""
    invoice.card = sub.card
    if invoice.total == 0:
        return True
    if sub.fails_next:
        sub.fails_next -= 1
        return False
    return sub.card.declines_at == "never"


def begin_period(sub: Subscription) -> None:
    """The next billing period, which begins where the last one ended."""
    sub.period_start = sub.period_end
    sub.period_end = next_period_end(sub.period_start, interval_of(sub), sub.anchor_day)
    sub.renews_at = sub.period_end


def renew(books: Books, sub: Subscription) -> Invoice:
    """The period or the trial is over: charge the next period."""
    invoice = write_invoice(books, sub, "renewal", sub.price)
    if not pays(sub, invoice):
        _fail(books, sub, invoice)
        return invoice
    invoice.status, sub.status, sub.trial_ends_at = "paid", "active", None
    begin_period(sub)
    announce_invoice(books, "subscription_payment_success", invoice)
    changed(books, sub)
    return invoice


def charge_now(books: Books, sub: Subscription, cents: int) -> Invoice:
    """Charge a change of plan at once; the change stays when the card declines."""
    invoice = write_invoice(books, sub, "updated", cents)
    if not pays(sub, invoice):
        _fail(books, sub, invoice)
        return invoice
    invoice.status = "paid"
    changed(books, sub)
    announce_invoice(books, "subscription_payment_success", invoice)
    return invoice


def _fail(books: Books, sub: Subscription, invoice: Invoice) -> None:
    """A charge was declined: the next retry, or `unpaid` after the last one."""
    retries = books.rules.retry_days
    sub.open_invoice_id, sub.trial_ends_at = invoice.id, None
    if sub.status != "unpaid":
        sub.attempts += 1
        if sub.attempts > len(retries):
            sub.status, sub.unpaid_at = "unpaid", books.now
        else:
            sub.status = "past_due"
            sub.renews_at = invoice.created_at + timedelta(days=retries[sub.attempts - 1])
    announce_invoice(books, "subscription_payment_failed", invoice)
    changed(books, sub)


def retry_payment(books: Books, sub: Subscription) -> bool:
    """Try the open invoice again. Raises Refused if the subscription owes nothing."""
    if sub.open_invoice_id is None or sub.status not in ("past_due", "unpaid"):
        raise Refused("This subscription has no payment to recover.")
    invoice = find_invoice(books, sub.open_invoice_id)
    invoice.updated_at = later(books, invoice.updated_at)
    if not pays(sub, invoice):
        _fail(books, sub, invoice)
        return False
    invoice.status, sub.status = "paid", "active"
    sub.open_invoice_id, sub.unpaid_at, sub.attempts = None, None, 0
    if invoice.reason == "renewal":
        begin_period(sub)
    sub.renews_at = sub.period_end
    announce_invoice(books, "subscription_payment_success", invoice)
    announce_invoice(books, "subscription_payment_recovered", invoice)
    changed(books, sub)
    return True


def update_card(books: Books, subscription_id: int, card: Card) -> bool:
    """The customer enters another card; an open invoice is charged to it at once.

    Returns whether nothing is owed now. Raises Refused once the subscription has expired.
    """
    sub = find_subscription(books, subscription_id)
    if sub.status == "expired":
        raise Refused("An expired subscription cannot be paid again.")
    if card.declines_at == "checkout":
        raise Refused("The card was declined.")
    sub.card, sub.fails_next = card, 0
    if sub.status in ("past_due", "unpaid"):
        return retry_payment(books, sub)
    changed(books, sub)
    return True


def fail_next_payments(books: Books, subscription_id: int, count: int = 1) -> None:
    """The next `count` charges of the subscription are declined, whatever its card."""
    find_subscription(books, subscription_id).fails_next = count


def renew_now(books: Books, subscription_id: int) -> Invoice:
    """End the running period or trial at once and charge the next (no such call in the API)."""
    sub = find_subscription(books, subscription_id)
    if sub.status not in ("active", "on_trial"):
        raise Refused("Only an active subscription or a trial renews.")
    sub.period_end, sub.anchor_day = books.now, books.now.day
    return renew(books, sub)


def void_open_invoice(books: Books, sub: Subscription) -> None:
    """What is still owed will not be collected."""
    if sub.open_invoice_id is not None:
        invoice = find_invoice(books, sub.open_invoice_id)
        invoice.status, invoice.updated_at = "void", later(books, invoice.updated_at)
        sub.open_invoice_id, sub.unpaid_at, sub.attempts = None, None, 0
