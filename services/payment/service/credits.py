"""The verbs of credits: balance, transactions."""

from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.credits.pricing import format_credits
from libs.web.pagination import Page, PageRequest, cursor_of_number, make_page, number_before
from services.payment.movements import captured_by, change_of_available
from services.payment.repository import credits
from services.payment.schemas import BalanceAnswer, GrantAnswer, TransactionAnswer


async def get_balance(session: AsyncSession, principal: Principal) -> BalanceAnswer:
    """What the caller has, what of it is held, and where it came from."""
    available, held = await credits.read_account(session, principal.user_id)
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
    change = change_of_available(transfer.debit, transfer.credit, transfer.amount)
    return TransactionAnswer(
        id=transfer.id,
        kind=transfer.kind,
        amount_millicredits=change,
        amount_credits=format_credits(change),
        captured_millicredits=captured_by(transfer.credit, transfer.amount),
        reference=transfer.reference,
        created_at=transfer.created_at,
    )
