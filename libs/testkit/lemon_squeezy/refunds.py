"""Refunds, full or partial. The first payment of a subscription is an order and an invoice at
once: whichever of them is refunded, both tell it."""

from libs.testkit.lemon_squeezy.announcements import announce_invoice, announce_order
from libs.testkit.lemon_squeezy.books import Books, find_invoice, find_order, later
from libs.testkit.lemon_squeezy.records import Invoice, Order, Refused

AMOUNT = "/data/attributes/amount"


def refund_order(books: Books, order_id: int, amount: int | None = None) -> Order:
    """Give back `amount` cents, or all that is left. Raises Refused if that is not there."""
    order = find_order(books, order_id)
    amount = _checked(amount, order.total - order.refunded)
    _refund_order(books, order, amount)
    if order.invoice_id is not None:
        _refund_invoice(books, books.invoices[order.invoice_id], amount)
    return order


def refund_invoice(books: Books, invoice_id: int, amount: int | None = None) -> Invoice:
    """Give back `amount` cents of a paid invoice, or all that is left. Raises Refused."""
    invoice = find_invoice(books, invoice_id)
    if invoice.status not in ("paid", "partial_refund"):
        raise Refused("Only a paid invoice can be refunded.")
    amount = _checked(amount, invoice.total - invoice.refunded)
    _refund_invoice(books, invoice, amount)
    order = books.orders[books.subscriptions[invoice.subscription_id].order_id]
    if order.invoice_id == invoice.id:
        _refund_order(books, order, amount)
    return invoice


def _checked(amount: int | None, left: int) -> int:
    if left <= 0:
        raise Refused("Nothing is left to refund.", 422, AMOUNT)
    amount = left if amount is None else amount
    if not 0 < amount <= left:
        raise Refused(f"The amount must be between 1 and {left}.", 422, AMOUNT)
    return amount


def _refund_order(books: Books, order: Order, amount: int) -> None:
    order.refunded += amount
    order.updated_at = later(books, order.updated_at)
    order.refunded_at = books.now if order.refunded == order.total else None
    announce_order(books, "order_refunded", order)


def _refund_invoice(books: Books, invoice: Invoice, amount: int) -> None:
    invoice.refunded += amount
    invoice.updated_at = later(books, invoice.updated_at)
    full = invoice.refunded == invoice.total
    invoice.status = "refunded" if full else "partial_refund"
    invoice.refunded_at = books.now if full else None
    announce_invoice(books, "subscription_payment_refunded", invoice)
