"""The verbs of buying: checkout, orders, invoices."""

from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.kernel.problems import ValidationFailed
from libs.web.pagination import Page, PageRequest, cursor_of_number, make_page, number_before
from services.payment.current import is_live
from services.payment.lemon_squeezy.client import CheckoutAttributes, CheckoutOrder
from services.payment.models import Invoice, Order
from services.payment.offers import PlanOffer, Shelf
from services.payment.problems import AlreadySubscribed
from services.payment.repository import own_billing
from services.payment.schemas.purchases import (
    CheckoutAnswer,
    CheckoutRequest,
    InvoiceAnswer,
    OrderAnswer,
)
from services.user.client.accounts import OwnAccount

CHECKOUT_LIFETIME = timedelta(hours=24)


def require_return_url(url: str | None, public_url: str) -> str | None:
    """Where a checkout leads: an https address, or one of our own origin; None: its receipt.

    Raises ValidationFailed naming `body.return_url`.
    """
    if url is not None and not may_return_to(url, public_url):
        message = f"must be an https address, or begin with {public_url}"
        errors = [{"field": "body.return_url", "message": message}]
        raise ValidationFailed(f"body.return_url: {message}", errors=errors)
    return url


def may_return_to(url: str, public_url: str) -> bool:
    """Whether a checkout may lead there. Names and passwords are in no address that is meant."""
    try:
        parts, own = urlsplit(url), urlsplit(public_url)
        is_written_well = url.isascii() and url.isprintable() and not set(url) & set(' "<>\\^`{|}')
        is_ours = (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
        is_secure = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
        return is_written_well and (is_ours or is_secure) and "@" not in parts.netloc
    except ValueError:
        return False


async def offers_trial(
    session: AsyncSession, principal: Principal, request: CheckoutRequest, now: datetime
) -> bool:
    """Whether the caller may buy this, and would begin with a trial: everybody has one.

    Raises AlreadySubscribed for a second plan; packs can always be bought.
    """
    if not isinstance(request.offer, PlanOffer):
        return False
    owned = await own_billing.list_subscriptions(session, principal.user_id)
    if any(is_live(subscription, now) for subscription in owned):
        raise AlreadySubscribed()
    return not await own_billing.had_trial(session, principal.user_id)


def make_order(
    request: CheckoutRequest,
    account: OwnAccount,
    *,
    shelf: Shelf,
    return_url: str | None,
    with_trial: bool,
    now: datetime,
) -> CheckoutOrder:
    """What the provider's page shall sell, and to whom."""
    return CheckoutOrder(
        variant_id=shelf.variant_of(request.offer),
        user_id=account.id,
        email=account.email,
        name=account.display_name,
        return_url=return_url,
        expires_at=(now + CHECKOUT_LIFETIME).replace(microsecond=0),
        skip_trial=not with_trial,
    )


def show_checkout(checkout: CheckoutAttributes) -> CheckoutAnswer:
    """A checkout as its customer sees it."""
    return CheckoutAnswer(checkout_url=checkout.url, expires_at=checkout.expires_at)


async def list_invoices(
    session: AsyncSession, principal: Principal, page: PageRequest
) -> Page[InvoiceAnswer]:
    """Every charge of the caller's subscriptions, newest first."""
    rows = await own_billing.list_purchases(
        session, Invoice, principal.user_id, limit=page.limit, before=number_before(page)
    )
    return make_page(rows, page.limit, InvoiceAnswer.model_validate, cursor_of)


async def list_orders(
    session: AsyncSession, principal: Principal, page: PageRequest
) -> Page[OrderAnswer]:
    """Every purchase of the caller, newest first."""
    rows = await own_billing.list_purchases(
        session, Order, principal.user_id, limit=page.limit, before=number_before(page)
    )
    return make_page(rows, page.limit, OrderAnswer.model_validate, cursor_of)


def cursor_of(purchase: Invoice | Order) -> UUID:
    """The place of a purchase in its list."""
    return cursor_of_number(int(purchase.provider_id))
