"""Invoices and orders: of each the newest state that was told, whatever the order of telling."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.payment.models import Invoice, Order


async def put_invoice(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Keep the newer of two states; False if what is known is as new."""
    return await _put(session, Invoice, values, "invoice_url")


async def put_order(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Keep the newer of two states; False if what is known is as new."""
    return await _put(session, Order, values, "receipt_url")


async def _put(
    session: AsyncSession, table: type[Invoice] | type[Order], values: dict[str, Any], link: str
) -> bool:
    statement = insert(table).values(values)
    newer = age_of(statement.excluded, link) > age_of(table, link)
    changed = {name: value for name, value in values.items() if name != "provider_id"}
    result = await session.execute(
        statement.on_conflict_do_update(
            index_elements=[table.provider_id], set_=changed, where=newer
        )
    )
    return cast(CursorResult[Any], result).rowcount == 1


def age_of(row: Any, link: str) -> Any:
    """What is newer compares greater: by its date, then by what was refunded, then paid before
    pending; the rest only makes every machine choose alike."""
    return tuple_(
        row.provider_updated_at,
        row.refunded_cents,
        row.status != "pending",
        row.status,
        getattr(row, link).is_not(None),
    )


async def list_invoices(session: AsyncSession, user_id: UUID) -> Sequence[Invoice]:
    """Every invoice of the user's subscriptions."""
    return (await session.scalars(select(Invoice).where(Invoice.user_id == user_id))).all()


async def get_order(session: AsyncSession, order: str) -> Order:
    """An order that was told before."""
    return await session.get_one(Order, order, populate_existing=True)
