"""`/v1`: the documented API, a thin shell over the books."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response

from libs.testkit.lemon_squeezy.books import Books
from libs.testkit.lemon_squeezy.catalogue import PRODUCTS, VARIANTS
from libs.testkit.lemon_squeezy.documents import MEDIA_TYPE, error, filtered, one, page
from libs.testkit.lemon_squeezy.html import document, markup, problem
from libs.testkit.lemon_squeezy.links import Resource
from libs.testkit.lemon_squeezy.listings import (
    checkout_resource,
    customer_resource,
    product_resource,
    store_resource,
    variant_resource,
)
from libs.testkit.lemon_squeezy.rate_limit import Fault, Window
from libs.testkit.lemon_squeezy.records import Refused
from libs.testkit.lemon_squeezy.runtime import Double
from libs.testkit.lemon_squeezy.shapes import (
    invoice_resource,
    order_resource,
    subscription_resource,
)

Handler = Callable[[Request], Awaitable[Response]]


def double_of(request: Request) -> Double:
    """The double behind this application, at the present of its clock."""
    double: Double = request.app.state.double
    double.tick()
    return double


Running = Annotated[Double, Depends(double_of)]
router = APIRouter(prefix="/v1")

# For each collection: every resource of the books, the filters, and the order of the list.
COLLECTIONS: dict[str, tuple[Callable[[Books], list[Resource]], Sequence[str], str]] = {
    "subscriptions": (
        lambda b: [subscription_resource(b, s) for s in reversed(b.subscriptions.values())],
        (
            "store_id",
            "order_id",
            "order_item_id",
            "product_id",
            "variant_id",
            "user_email",
            "status",
        ),
        "-createdAt",
    ),
    "subscription-invoices": (
        lambda b: [invoice_resource(b, i) for i in reversed(b.invoices.values())],
        ("store_id", "status", "refunded", "subscription_id"),
        "-createdAt",
    ),
    "orders": (
        lambda b: [order_resource(b, o) for o in reversed(b.orders.values())],
        ("store_id", "user_email", "order_number"),
        "-createdAt",
    ),
    "checkouts": (
        lambda b: [checkout_resource(b, c) for c in reversed(b.checkouts.values())],
        ("store_id", "variant_id"),
        "-createdAt",
    ),
    "customers": (
        lambda b: [customer_resource(b, c) for c in reversed(b.customers.values())],
        ("store_id", "email"),
        "-createdAt",
    ),
    "variants": (
        lambda b: [variant_resource(b, v) for v in VARIANTS.values()],
        ("product_id", "status"),
        "sort",
    ),
    "products": (
        lambda b: [product_resource(b, number) for number in PRODUCTS],
        ("store_id",),
        "name",
    ),
    "stores": (lambda b: [store_resource(b)], (), "name"),
}


@router.get("/{collection}")
async def list_resources(collection: str, request: Request, double: Running) -> Response:
    """A page of a collection."""
    if collection not in COLLECTIONS:
        raise Refused(f"The route v1/{collection} could not be found.", 404)
    everything, filters, sort = COLLECTIONS[collection]
    return page(request, filtered(request, everything(double.books), filters), sort)


@router.get("/{collection}/{identifier}")
async def get_resource(collection: str, identifier: str, double: Running) -> Response:
    """One resource."""
    everything = COLLECTIONS.get(collection, (lambda _: [], (), ""))[0]
    for found in everything(double.books):
        if found["id"] == identifier:
            return one(found)
    raise Refused(f"The route v1/{collection}/{identifier} could not be found.", 404)


async def guard(request: Request, call_next: Handler) -> Response:
    """Before every API call: media types, the key, the limit, and the faults that tests want."""
    if not request.url.path.startswith("/v1/"):
        return await call_next(request)
    double: Double = request.app.state.double
    window: Window = request.app.state.window
    if not window.admit():
        refused = error(429, "Too Many Attempts.")
        refused.headers.update(window.headers() | {"Retry-After": str(window.seconds_left())})
        return refused
    refused_by_headers = _check_headers(request, double.settings.api_key)
    if refused_by_headers is not None:
        return refused_by_headers
    response = await _with_fault(request, call_next, request.app.state.fault)
    response.headers.update(window.headers())
    return response


def _check_headers(request: Request, api_key: str) -> Response | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    known = secrets.compare_digest(key.encode(), api_key.encode())
    if scheme.lower() != "bearer" or not known:
        return error(401, "Unauthenticated.")
    accept = request.headers.get("Accept", "")
    if not any(kind in accept for kind in (MEDIA_TYPE, "*/*")):
        return error(406, f"The Accept header must name {MEDIA_TYPE}.")
    has_body = request.headers.get("Content-Length", "0") != "0"
    if has_body and not request.headers.get("Content-Type", "").startswith(MEDIA_TYPE):
        return error(415, f"The Content-Type header must be {MEDIA_TYPE}.")
    return None


async def _with_fault(request: Request, call_next: Handler, fault: Fault) -> Response:
    if fault.count <= 0:
        return await call_next(request)
    fault.count -= 1
    response = await call_next(request) if fault.after_effect or not fault.status else None
    await asyncio.sleep(fault.delay_seconds)
    if fault.status:
        return error(fault.status, "This failure was asked for.")
    return response or error(500, "This failure was asked for.")


async def refuse(request: Request, reason: Exception) -> Response:
    """What the books refuse: an error document, or a page for people."""
    assert isinstance(reason, Refused)
    if request.url.path.startswith(("/v1/", "/_double/")):
        return error(reason.status, reason.detail, reason.pointer)
    body = markup('<section class="card"><h1>Sorry</h1>{it}</section>', it=problem(reason.detail))
    return document("Sorry", body, status=reason.status)


def add_api(app: FastAPI, *routers: APIRouter) -> None:
    """The API, its guard and its error documents."""
    app.middleware("http")(guard)
    app.add_exception_handler(Refused, refuse)
    for more in (*routers, router):
        app.include_router(more)
