"""`/v1`: what changes something: checkouts, changes of a subscription, refunds."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from libs.testkit.lemon_squeezy.api import Running
from libs.testkit.lemon_squeezy.books import Books, find_subscription
from libs.testkit.lemon_squeezy.changes import (
    cancel,
    change_variant,
    pause,
    resume,
    set_billing_anchor,
    set_trial_end,
    unpause,
)
from libs.testkit.lemon_squeezy.checkouts import create_checkout
from libs.testkit.lemon_squeezy.dates import parse_time
from libs.testkit.lemon_squeezy.documents import one, read_attributes
from libs.testkit.lemon_squeezy.listings import checkout_resource
from libs.testkit.lemon_squeezy.records import Checkout, Refused, Subscription
from libs.testkit.lemon_squeezy.refunds import refund_invoice, refund_order
from libs.testkit.lemon_squeezy.shapes import (
    invoice_resource,
    order_resource,
    subscription_resource,
)

router = APIRouter(prefix="/v1")
BASE = "/data/attributes"


def number(identifier: str) -> int:
    """An id of a path. Raises Refused 404 for what cannot be one."""
    if not identifier.isdecimal():
        raise Refused(f"The resource {identifier} could not be found.", 404)
    return int(identifier)


def _object(attributes: dict[str, Any], name: str) -> dict[str, Any]:
    value = attributes.get(name)
    if value in (None, []):
        return {}
    if not isinstance(value, dict):
        words = name.replace("_", " ")
        raise Refused(f"The {words} must be an array.", 422, f"{BASE}/{name}")
    return value


def _related(relations: dict[str, Any], kind: str, plural: str) -> int:
    try:
        data = relations[kind]["data"]
        if data["type"] != plural:
            raise KeyError(plural)
        return int(data["id"])
    except (KeyError, TypeError, ValueError):
        raise Refused(
            f"The {kind} field is required.", 422, f"/data/relationships/{kind}"
        ) from None


def _time(value: Any, pointer: str) -> Any:
    if value is None:
        return None
    try:
        return parse_time(value)
    except (ValueError, AttributeError):
        raise Refused("This is no ISO 8601 date-time.", 422, pointer) from None


def _flag(attributes: dict[str, Any], name: str) -> bool:
    value = attributes.get(name, False)
    if not isinstance(value, bool):
        raise Refused(f"The {name} field must be true or false.", 422, f"{BASE}/{name}")
    return value


def _cents(value: Any, pointer: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refused("This must be a positive integer.", 422, pointer)
    return value


def _custom(data: dict[str, Any]) -> dict[str, str]:
    custom = _object(data, "custom")
    for key, value in custom.items():
        if not isinstance(value, str):
            pointer = f"{BASE}/checkout_data/custom/{key}"
            raise Refused(f"The checkout_data.custom.{key} field must be a string.", 422, pointer)
    return custom


@router.post("/checkouts")
async def post_checkout(request: Request, double: Running) -> Response:
    """A new checkout of a variant of this store."""
    attributes, relations = await read_attributes(request, "checkouts", None)
    if _related(relations, "store", "stores") != double.books.store_id:
        raise Refused("The related resource does not exist.", 404, "/data/relationships/store")
    variant_id = _related(relations, "variant", "variants")
    data = _object(attributes, "checkout_data")
    expires_at = _time(attributes.get("expires_at"), f"{BASE}/expires_at")
    price = _cents(attributes.get("custom_price"), f"{BASE}/custom_price")
    options = _object(attributes, "checkout_options")
    product = _object(attributes, "product_options")
    custom = _custom(data)

    def create(books: Books) -> Checkout:
        return create_checkout(
            books,
            variant_id,
            custom=custom,
            email=str(data.get("email") or ""),
            name=str(data.get("name") or ""),
            custom_price=price,
            expires_at=expires_at,
            product_options=product,
            checkout_options=options,
        )

    made = double.act(create)
    preview = _flag(attributes, "preview")
    return one(checkout_resource(double.books, made, preview), 201)


@router.patch("/subscriptions/{identifier}")
async def patch_subscription(identifier: str, request: Request, double: Running) -> Response:
    """Change a subscription, member by member; a refusal leaves those before it done."""
    attributes, _ = await read_attributes(request, "subscriptions", identifier)
    steps = _steps(number(identifier), attributes)

    def change(books: Books) -> Subscription:
        for step in steps:
            step(books)
        return find_subscription(books, number(identifier))

    return one(subscription_resource(double.books, double.act(change)))


Step = Callable[[Books], object]


def _steps(sub: int, attributes: dict[str, Any]) -> list[Step]:
    steps: list[Step] = []
    if "cancelled" in attributes:
        wanted = cancel if _flag(attributes, "cancelled") else resume
        steps.append(lambda books: wanted(books, sub))
    if "pause" in attributes:
        steps.append(_pause_step(sub, attributes["pause"]))
    if "variant_id" in attributes:
        steps.append(_variant_step(sub, attributes))
    if "trial_ends_at" in attributes:
        moment = _time(attributes["trial_ends_at"], f"{BASE}/trial_ends_at")
        steps.append(lambda books: set_trial_end(books, sub, moment))
    if "billing_anchor" in attributes:
        day = _cents(attributes["billing_anchor"], f"{BASE}/billing_anchor")
        if day is not None and day > 31:
            raise Refused("It must be a day of the month.", 422, f"{BASE}/billing_anchor")
        steps.append(lambda books: set_billing_anchor(books, sub, day))
    return steps or [lambda books: find_subscription(books, sub)]


def _pause_step(sub: int, wanted: Any) -> Step:
    if wanted is None:
        return lambda books: unpause(books, sub)
    mode = wanted.get("mode") if isinstance(wanted, dict) else None
    if mode not in ("void", "free"):
        raise Refused("The selected mode is invalid.", 422, f"{BASE}/pause/mode")
    resumes_at = _time(wanted.get("resumes_at"), f"{BASE}/pause/resumes_at")
    return lambda books: pause(books, sub, mode, resumes_at)


def _variant_step(sub: int, attributes: dict[str, Any]) -> Step:
    given = attributes["variant_id"]
    given = int(given) if isinstance(given, str) and given.isdecimal() else given
    variant_id = _cents(given, f"{BASE}/variant_id") or 0
    at_once = _flag(attributes, "invoice_immediately")
    unprorated = _flag(attributes, "disable_prorations")
    return lambda books: change_variant(
        books, sub, variant_id, invoice_immediately=at_once, disable_prorations=unprorated
    )


@router.delete("/subscriptions/{identifier}")
async def delete_subscription(identifier: str, double: Running) -> Response:
    """Cancel at the end of the paid period."""
    sub = double.act(lambda books: cancel(books, number(identifier)))
    return one(subscription_resource(double.books, sub))


async def _amount(request: Request, kind: str, identifier: str) -> int | None:
    if not await request.body():
        return None
    attributes, _ = await read_attributes(request, kind, identifier)
    return _cents(attributes.get("amount"), f"{BASE}/amount")


@router.post("/orders/{identifier}/refund")
async def post_order_refund(identifier: str, request: Request, double: Running) -> Response:
    """Refund an order, `amount` cents of it or all that is left."""
    amount = await _amount(request, "orders", identifier)
    order = double.act(lambda books: refund_order(books, number(identifier), amount))
    return one(order_resource(double.books, order))


@router.post("/subscription-invoices/{identifier}/refund")
async def post_invoice_refund(identifier: str, request: Request, double: Running) -> Response:
    """Refund an invoice, `amount` cents of it or all that is left."""
    amount = await _amount(request, "subscription-invoices", identifier)
    invoice = double.act(lambda books: refund_invoice(books, number(identifier), amount))
    return one(invoice_resource(double.books, invoice))
