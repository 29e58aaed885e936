"""The page where a customer pays, and the receipt."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from libs.testkit.lemon_squeezy.api import Running
from libs.testkit.lemon_squeezy.books import Books, find_checkout
from libs.testkit.lemon_squeezy.catalogue import VARIANTS
from libs.testkit.lemon_squeezy.checkouts import offers_trial, pay_checkout, price_of
from libs.testkit.lemon_squeezy.forms import check_link, read_form
from libs.testkit.lemon_squeezy.html import (
    Markup,
    card_fields,
    document,
    field,
    markup,
    problem,
)
from libs.testkit.lemon_squeezy.links import money
from libs.testkit.lemon_squeezy.records import Checkout, Order, Refused, card_of
from libs.testkit.lemon_squeezy.shapes import order_status, receipt_link, words

router = APIRouter()


@router.get("/checkout/custom/{checkout_id}")
async def show_checkout(checkout_id: str, request: Request, double: Running) -> Response:
    """The checkout page, or the receipt once it was paid."""
    checkout = find_checkout(double.books, checkout_id)
    check_link(request, double.books)
    if checkout.order_id is not None:
        return _after(double.books, checkout)
    return _page(double.books, checkout)


@router.post("/checkout/custom/{checkout_id}")
async def post_checkout(checkout_id: str, request: Request, double: Running) -> Response:
    """Pay; a second click leads to the same receipt and charges nothing."""
    checkout = find_checkout(double.books, checkout_id)
    check_link(request, double.books)
    form = await read_form(request)
    if checkout.order_id is not None:
        return _after(double.books, checkout)
    email, name = form.get("email", ""), form.get("name", "")
    try:
        card = card_of(form.get("card_number", ""))
        double.act(
            lambda books: pay_checkout(books, checkout_id, email=email, name=name, card=card)
        )
    except Refused as refused:
        return _page(double.books, checkout, refused, email, name)
    return _after(double.books, checkout)


def _after(books: Books, checkout: Checkout) -> Response:
    """Back to the shop where it named an address, else to the receipt."""
    target = str(checkout.product_options.get("redirect_url") or "")
    if not target.startswith(("http://", "https://")):
        target = receipt_link(books, books.orders[checkout.order_id or 0])
    return RedirectResponse(target, 303)


def _terms(books: Books, checkout: Checkout, email: str) -> Markup:
    """What is charged, now and later."""
    variant, price = VARIANTS[checkout.variant_id], money(price_of(checkout))
    if variant.interval is None:
        return markup('<p class="price">{price}</p><p class="quiet">Paid once.</p>', price=price)
    if offers_trial(books, checkout, email):
        note = f"{variant.trial_days} days free, then {price} every {variant.interval}."
    else:
        note = f"Charged now, then every {variant.interval} until cancelled."
    return markup(
        '<p class="price">{price} <span class="quiet">/ {interval}</span></p><p>{note}</p>',
        price=price,
        interval=variant.interval,
        note=note,
    )


def _page(
    books: Books,
    checkout: Checkout,
    refused: Refused | None = None,
    email: str = "",
    name: str = "",
) -> Response:
    variant, data = VARIANTS[checkout.variant_id], checkout.checkout_data
    email, name = email or str(data["email"]), name or str(data["name"])
    title = str(checkout.product_options.get("name") or variant.product_name)
    body = markup(
        """<section class="card"><h1>{title}</h1><p class="quiet">{variant}</p>{terms}</section>
<section class="card"><h2>Payment</h2>{problem}
<form method="post">{email}{name}{card}
<button class="big" type="submit">Pay</button></form></section>""",
        title=title,
        variant="" if variant.name == "Default" else variant.name,
        terms=_terms(books, checkout, email),
        problem=problem(refused.detail if refused else None),
        email=field("email", "E-mail", email, "email", 'autocomplete="email"'),
        name=field("name", "Name", name or email.split("@")[0], more='autocomplete="name"'),
        card=card_fields(),
    )
    return document(f"Checkout: {title}", body, status=refused.status if refused else 200)


def _order_by(books: Books, identifier: str) -> Order:
    found = next((o for o in books.orders.values() if o.identifier == identifier), None)
    if found is None:
        raise Refused("The order could not be found.", 404)
    return found


@router.get("/my-orders/{identifier}")
@router.get("/my-orders/{identifier}/subscription-invoice/{invoice_id}")
async def show_receipt(
    identifier: str, request: Request, double: Running, invoice_id: int | None = None
) -> Response:
    """The receipt of an order, or an invoice of its subscription."""
    check_link(request, double.books)
    order = _order_by(double.books, identifier)
    total, refunded, status, title = order.total, order.refunded, order_status(order), "Receipt"
    if invoice_id is not None:
        invoice = double.books.invoices.get(invoice_id)
        if invoice is None:
            raise Refused("The invoice could not be found.", 404)
        total, refunded, status = invoice.total, invoice.refunded, invoice.status
        title = f"Invoice {invoice.id}"
    body = markup(
        """<section class="card"><h1>{title}</h1><p>Order {number}, {date} UTC</p>
<p>{product}</p><p class="price">{total}</p><p>{status}. Refunded: {refunded}.</p>
<p>Thank you, {name}.</p></section>""",
        title=title,
        number=order.number,
        date=f"{order.created_at:%Y-%m-%d %H:%M}",
        product=VARIANTS[order.variant_id].product_name,
        total=money(total),
        status=words(status),
        refunded=money(refunded),
        name=double.books.customers[order.customer_id].name,
    )
    return document(title, body)
