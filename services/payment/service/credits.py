"""The verbs of credits: balance, transactions, usage."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.credits.pricing import format_credits
from libs.kernel.problems import ValidationFailed
from libs.web.pagination import Page, PageRequest, cursor_of_number, make_page, number_before
from services.payment.movements import captured_by, change_of_available
from services.payment.repository import credits
from services.payment.schemas.credits import (
    BalanceAnswer,
    GrantAnswer,
    GroupBy,
    TransactionAnswer,
    UsageAnswer,
    UsageItem,
)

MAX_USAGE_DAYS = 366
USUAL_USAGE_DAYS = 30


async def get_balance(session: AsyncSession, principal: Principal) -> BalanceAnswer:
    """What the caller has, what of it is held, and where it came from."""
    available, held = await credits.read_balance(session, principal.user_id)
    grants = await credits.open_grants(session, principal.user_id)
    return BalanceAnswer(
        total_millicredits=available + held,
        total_credits=format_credits(available + held),
        held_millicredits=held,
        held_credits=format_credits(held),
        available_millicredits=available,
        available_credits=format_credits(available),
        grants=[show_grant(grant) for grant in grants],
    )


def show_grant(grant: Row[Any]) -> GrantAnswer:
    """A grant as its owner sees it."""
    return GrantAnswer(
        id=grant.id,
        kind=grant.kind,
        amount_millicredits=grant.amount,
        remaining_millicredits=grant.remaining,
        remaining_credits=format_credits(grant.remaining),
        expires_at=grant.expires_at,
        created_at=grant.created_at,
    )


async def list_transactions(
    session: AsyncSession, principal: Principal, page: PageRequest
) -> Page[TransactionAnswer]:
    """Every movement of the caller's credits, newest first."""
    rows = await credits.list_transfers(
        session, principal.user_id, limit=page.limit, before=number_before(page)
    )
    return make_page(rows, page.limit, show_transfer, lambda row: cursor_of_number(row.id))


def show_transfer(transfer: Row[Any]) -> TransactionAnswer:
    """A transfer from its owner's side."""
    change = change_of_available(transfer.kind, transfer.amount)
    return TransactionAnswer(
        id=transfer.id,
        kind=transfer.kind,
        amount_millicredits=change,
        amount_credits=format_credits(change),
        captured_millicredits=captured_by(transfer.kind, transfer.amount),
        reference=transfer.reference,
        grant_id=transfer.grant_id,
        model=transfer.model,
        key_id=transfer.key_id,
        created_at=transfer.created_at,
    )


def days_of(first: date | None, last: date | None, *, today: date) -> tuple[date, date]:
    """The days that are asked about: at most a year, the last thirty if nothing is said.

    Raises ValidationFailed naming `query.from`.
    """
    last = last or today
    first = first or last - timedelta(days=USUAL_USAGE_DAYS - 1)
    if not 0 <= (last - first).days < MAX_USAGE_DAYS:
        message = f"must be 0 to {MAX_USAGE_DAYS - 1} days before `to`"
        errors = [{"field": "query.from", "message": message}]
        raise ValidationFailed(f"query.from: {message}", errors=errors)
    return first, last


async def get_usage(
    session: AsyncSession, principal: Principal, *, group_by: GroupBy, days: tuple[date, date]
) -> UsageAnswer:
    """What the caller spent on the days, both included."""
    start, last = (datetime.combine(day, time(), UTC) for day in days)
    rows = await credits.read_usage(
        session,
        principal.user_id,
        group_by=group_by,
        start=start,
        end=last + timedelta(days=1),
    )
    total = sum(row.captured for row in rows)
    return UsageAnswer(
        group_by=group_by,
        first_day=days[0],
        last_day=days[1],
        captured_millicredits=total,
        captured_credits=format_credits(total),
        items=[show_usage(row) for row in rows],
    )


def show_usage(row: Row[Any]) -> UsageItem:
    """One group of captures."""
    return UsageItem(
        group=row.group,
        generations=row.generations,
        captured_millicredits=row.captured,
        captured_credits=format_credits(row.captured),
    )
