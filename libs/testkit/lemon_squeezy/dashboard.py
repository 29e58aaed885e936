"""`/dashboard`: everything in the store on one page, with a button for what may happen to it."""

from collections.abc import Callable
from datetime import timedelta
from itertools import islice

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from libs.testkit.lemon_squeezy.api import Running
from libs.testkit.lemon_squeezy.books import Books, find_subscription, latest_invoice
from libs.testkit.lemon_squeezy.catalogue import VARIANTS
from libs.testkit.lemon_squeezy.changes import cancel, pause, resume, unpause
from libs.testkit.lemon_squeezy.charges import fail_next_payments, renew_now, retry_payment
from libs.testkit.lemon_squeezy.clock import expire_now
from libs.testkit.lemon_squeezy.deliveries import Delivery, release, send_again
from libs.testkit.lemon_squeezy.forms import read_form
from libs.testkit.lemon_squeezy.html import (
    Markup,
    button_form,
    document,
    join,
    markup,
    problem,
    table,
    when,
)
from libs.testkit.lemon_squeezy.links import money
from libs.testkit.lemon_squeezy.records import Order, Refused, Subscription
from libs.testkit.lemon_squeezy.refunds import refund_invoice, refund_order
from libs.testkit.lemon_squeezy.runtime import Double
from libs.testkit.lemon_squeezy.shapes import order_status, words

router = APIRouter()
HERE = "/dashboard"
ROWS = 50
DAYS = {"1": "1 day", "7": "7 days", "31": "31 days", "366": "1 year"}


def _recover(books: Books, subscription_id: int) -> None:
    find_subscription(books, subscription_id).fails_next = 0
    retry_payment(books, find_subscription(books, subscription_id))


def _refund_latest(books: Books, subscription_id: int) -> None:
    invoice = latest_invoice(books, subscription_id)
    if invoice is None:
        raise Refused("There is no payment to refund.")
    refund_invoice(books, invoice.id)


ON_BOOKS: dict[str, Callable[[Books, int], object]] = {
    "renew": renew_now,
    "fail": fail_next_payments,
    "recover": _recover,
    "cancel": cancel,
    "resume": resume,
    "pause": pause,
    "unpause": unpause,
    "expire": expire_now,
    "refund": _refund_latest,
    "refund-order": refund_order,
}


@router.get("/")
async def start() -> Response:
    return RedirectResponse(HERE, 303)


@router.get(HERE)
async def show(double: Running) -> Response:
    """The page."""
    return _page(double)


@router.post(HERE)
async def press(request: Request, double: Running) -> Response:
    """A button was pressed: do it, and show the page again."""
    form = await read_form(request)
    try:
        _act(double, form.get("action", ""), int(form.get("id", "0")))
    except Refused as refused:
        return _page(double, refused)
    except (KeyError, ValueError):
        return _page(double, Refused("This button is not known.", 400))
    await double.until_idle(2)
    return RedirectResponse(HERE, 303)


def _act(double: Double, action: str, subject: int) -> None:
    outbox = double.state.outbox
    if action in ON_BOOKS:
        double.act(lambda books: ON_BOOKS[action](books, subject))
    elif action == "again":
        send_again(outbox, subject, double.books.now)
    elif action == "hold":
        outbox.hold = True
    elif action == "release":
        outbox.hold = False
        release(outbox, None, double.books.now)
    elif action == "days":
        double.set_clock(double.books.now + timedelta(days=subject))
    else:
        raise KeyError(action)
    double.save()


def _page(double: Double, refused: Refused | None = None) -> Response:
    body = markup(
        """<h1>Store</h1>{problem}<section class="card">{clock}</section>
<section class="card">{subscriptions}</section><section class="card">{orders}</section>
<section class="card">{deliveries}</section>""",
        problem=problem(refused.detail if refused else None),
        clock=_clock(double),
        subscriptions=_subscriptions(double.books),
        orders=_orders(double.books),
        deliveries=_deliveries(double),
    )
    return document("Dashboard", body, status=refused.status if refused else 200, wide=True)


def _button(label: str, action: str, subject: object) -> Markup:
    return button_form(HERE, label, action=action, id=subject)


def _clock(double: Double) -> Markup:
    buttons = (_button(f"Forward {label}", "days", days) for days, label in DAYS.items())
    return markup(
        "<h2>Clock</h2><p>{now} UTC. What falls due happens when the clock moves.</p>"
        '<div class="actions">{buttons}</div>',
        now=when(double.books.now),
        buttons=join(buttons),
    )


def _offers(sub: Subscription) -> list[tuple[str, str]]:
    """The buttons that make sense for a subscription: label and action."""
    if sub.status == "expired":
        return [("Refund last payment", "refund")]
    found = [("Fail the next payment", "fail")]
    if sub.status in ("active", "on_trial"):
        found += [("Renew now", "renew"), ("Pause", "pause")]
    if sub.status in ("past_due", "unpaid"):
        found += [("Recover", "recover")]
    if sub.status == "paused":
        found += [("Unpause", "unpause")]
    found += [("Resume", "resume")] if sub.status == "cancelled" else [("Cancel", "cancel")]
    return [*found, ("Expire", "expire"), ("Refund last payment", "refund")]


def _to_fail(sub: Subscription) -> str:
    return f", the next {sub.fails_next} will fail" if sub.fails_next else ""


def _subscription_row(books: Books, sub: Subscription) -> tuple[object, ...]:
    variant = VARIANTS[sub.variant_id]
    buttons = join(_button(label, action, sub.id) for label, action in _offers(sub))
    return (
        sub.id,
        books.customers[sub.customer_id].email,
        f"{variant.product_name}, {variant.name}",
        words(sub.status),
        when(sub.renews_at),
        when(sub.ends_at),
        f"{sub.card.brand} {sub.card.last_four}{_to_fail(sub)}",
        markup('<div class="actions">{buttons}</div>', buttons=buttons),
    )


def _subscriptions(books: Books) -> Markup:
    newest = islice(reversed(books.subscriptions.values()), ROWS)
    headings = ("Id", "Customer", "Plan", "Status", "Renews", "Ends", "Card", "Actions")
    return table("Subscriptions", headings, (_subscription_row(books, sub) for sub in newest))


def _order_row(books: Books, order: Order) -> tuple[object, ...]:
    refundable = order.total > order.refunded
    return (
        order.number,
        when(order.created_at),
        books.customers[order.customer_id].email,
        VARIANTS[order.variant_id].product_name,
        money(order.total),
        words(order_status(order)),
        _button("Refund", "refund-order", order.id) if refundable else "",
    )


def _orders(books: Books) -> Markup:
    newest = islice(reversed(books.orders.values()), ROWS)
    headings = ("Number", "Made", "Customer", "Product", "Total", "Status", "Actions")
    return table("Orders", headings, (_order_row(books, order) for order in newest))


def _delivery_row(delivery: Delivery) -> tuple[object, ...]:
    answers = ", ".join(str(a.status or a.problem) for a in delivery.attempts)
    label = "Deliver duplicate" if delivery.state == "delivered" else "Re-send"
    return (
        delivery.id,
        when(delivery.made_at),
        delivery.event,
        words(delivery.state),
        answers,
        markup("<details><summary>Body</summary><code>{it}</code></details>", it=delivery.body),
        _button(label, "again", delivery.id),
    )


def _deliveries(double: Double) -> Markup:
    outbox = double.state.outbox
    to = double.settings.webhook_url or "nowhere (no address is set)"
    switch = (
        _button("Release what is held", "release", 0)
        if outbox.hold
        else _button("Hold new webhooks back", "hold", 0)
    )
    headings = ("Id", "Made", "Event", "State", "Answers", "Body", "Actions")
    rows = (_delivery_row(it) for it in islice(reversed(outbox.deliveries), ROWS))
    return join(
        (
            table("Webhooks", headings, rows),
            markup("<p>They go to <code>{to}</code>.</p>{switch}", to=to, switch=switch),
        )
    )
