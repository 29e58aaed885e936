"""The customer's own pages: the portal, another plan, another card."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from libs.testkit.lemon_squeezy.api import Running
from libs.testkit.lemon_squeezy.books import Books, find_subscription
from libs.testkit.lemon_squeezy.catalogue import VARIANTS, Variant
from libs.testkit.lemon_squeezy.changes import cancel, change_variant, resume
from libs.testkit.lemon_squeezy.charges import update_card
from libs.testkit.lemon_squeezy.forms import check_link, read_form
from libs.testkit.lemon_squeezy.html import (
    Markup,
    card_fields,
    document,
    join,
    markup,
    problem,
    when,
)
from libs.testkit.lemon_squeezy.links import money, portal_link
from libs.testkit.lemon_squeezy.records import Refused, Subscription, card_of
from libs.testkit.lemon_squeezy.shapes import subscription_resource, words

router = APIRouter()


@router.get("/billing")
async def show_portal(user: int, request: Request, double: Running) -> Response:
    """The customer's subscriptions."""
    check_link(request, double.books)
    return _portal(double.books, user)


@router.post("/billing")
async def post_portal(user: int, request: Request, double: Running) -> Response:
    """Cancel or resume one of them."""
    check_link(request, double.books)
    form = await read_form(request)
    subject = int(form.get("id", "0"))
    try:
        if find_subscription(double.books, subject).customer_id != user:
            raise Refused("This subscription is somebody else's.", 404)
        wanted = resume if form.get("action") == "resume" else cancel
        double.act(lambda books: wanted(books, subject))
    except Refused as refused:
        return _portal(double.books, user, refused)
    return RedirectResponse(str(request.url), 303)


def _portal(books: Books, customer_id: int, refused: Refused | None = None) -> Response:
    mine = [s for s in books.subscriptions.values() if s.customer_id == customer_id]
    body = markup(
        "<h1>Your subscriptions</h1>{problem}{cards}",
        problem=problem(refused.detail if refused else None),
        cards=join(_card(books, sub) for sub in reversed(mine)),
    )
    return document("Your subscriptions", body, status=refused.status if refused else 200)


def _card(books: Books, sub: Subscription) -> Markup:
    urls = subscription_resource(books, sub)["attributes"]["urls"]
    action = "resume" if sub.status == "cancelled" else "cancel"
    button = markup(
        '<form method="post"><input type="hidden" name="id" value="{id}">'
        '<button class="small" name="action" value="{action}">{label}</button></form>',
        id=sub.id,
        action=action,
        label=action.capitalize(),
    )
    links = markup(
        '<p><a href="{plan}">Change the plan</a> &middot; <a href="{pay}">Change the card</a></p>',
        plan=urls["customer_portal_update_subscription"],
        pay=urls["update_payment_method"],
    )
    ended = sub.status == "expired"
    until = f"ends {when(sub.ends_at)}" if sub.ends_at else f"renews {when(sub.renews_at)}"
    return markup(
        '<section class="card"><h2>{name}</h2><p>{status}, {until} UTC. {card}</p>{rest}</section>',
        name=_name(VARIANTS[sub.variant_id]),
        status=words(sub.status),
        until=until,
        card=f"{sub.card.brand} {sub.card.last_four}",
        rest="" if ended else join((links, button)),
    )


def _name(variant: Variant) -> str:
    return f"{variant.product_name}, {variant.name} ({money(variant.price_cents)})"


@router.get("/billing/{subscription_id}/update")
async def show_plans(subscription_id: int, request: Request, double: Running) -> Response:
    """The plans to choose from."""
    check_link(request, double.books)
    return _plans(find_subscription(double.books, subscription_id))


@router.post("/billing/{subscription_id}/update")
async def post_plan(subscription_id: int, request: Request, double: Running) -> Response:
    """Move to another plan; the difference is charged at once."""
    check_link(request, double.books)
    form = await read_form(request)
    sub = find_subscription(double.books, subscription_id)
    variant_id = form.get("variant_id", "")
    try:
        if not variant_id.isdecimal():
            raise Refused("Choose a plan.")
        double.act(
            lambda books: change_variant(
                books, subscription_id, int(variant_id), invoice_immediately=True
            )
        )
    except Refused as refused:
        return _plans(sub, refused)
    return RedirectResponse(portal_link(double.books, sub.customer_id), 303)


def _plans(sub: Subscription, refused: Refused | None = None) -> Response:
    options = (
        markup(
            '<option value="{id}"{chosen}>{name}</option>',
            id=variant.id,
            chosen=" selected" if variant.id == sub.variant_id else "",
            name=_name(variant),
        )
        for variant in VARIANTS.values()
        if variant.interval is not None
    )
    body = markup(
        '<section class="card"><h1>Change the plan</h1>{problem}<form method="post">'
        '<label for="variant_id">Plan</label><select id="variant_id" name="variant_id">{options}'
        '</select><button class="big" type="submit">Change</button></form></section>',
        problem=problem(refused.detail if refused else None),
        options=join(options),
    )
    return document("Change the plan", body, status=refused.status if refused else 200)


@router.get("/subscription/{subscription_id}/payment-details")
async def show_card(subscription_id: int, request: Request, double: Running) -> Response:
    """The form for another card."""
    check_link(request, double.books)
    find_subscription(double.books, subscription_id)
    return _card_page()


@router.post("/subscription/{subscription_id}/payment-details")
async def post_card(subscription_id: int, request: Request, double: Running) -> Response:
    """Take the card, and charge what is owed to it."""
    check_link(request, double.books)
    form = await read_form(request)
    sub = find_subscription(double.books, subscription_id)
    try:
        card = card_of(form.get("card_number", ""))
        if not double.act(lambda books: update_card(books, subscription_id, card)):
            raise Refused("The card was declined.")
    except Refused as refused:
        return _card_page(refused)
    return RedirectResponse(portal_link(double.books, sub.customer_id), 303)


def _card_page(refused: Refused | None = None) -> Response:
    body = markup(
        '<section class="card"><h1>Change the card</h1>{problem}<form method="post">{card}'
        '<button class="big" type="submit">Save</button></form></section>',
        problem=problem(refused.detail if refused else None),
        card=card_fields(),
    )
    return document("Change the card", body, status=refused.status if refused else 200)
