"""Invoices and orders: of each the newest state that was told, whatever the order of telling."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, and_, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.payment.models import Invoice, Order


async def put_invoice(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Keep the newer of two states; False if it tells nothing new."""
    return await _put(session, Invoice, values)


async def put_order(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Keep the newer of two states; False if it tells nothing new."""
    return await _put(session, Order, values)


async def _put(
    session: AsyncSession, table: type[Invoice] | type[Order], values: dict[str, Any]
) -> bool:
    statement = insert(table).values(values)
    told = statement.excluded
    is_other = or_(told.status != table.status, told.refunded_cents != table.refunded_cents)
    changed = {name: value for name, value in values.items() if name != "provider_id"}
    result = await session.execute(
        statement.on_conflict_do_update(
            index_elements=[table.provider_id],
            set_=changed,
            where=and_(is_other, age_of(told) > age_of(table)),
        )
    )
    return cast(CursorResult[Any], result).rowcount == 1


def age_of(row: Any) -> Any:
    """What is newer compares greater: by its date, then by what was refunded, then paid before
    pending; the status itself only makes every machine choose alike."""
    return tuple_(row.provider_updated_at, row.refunded_cents, row.status != "pending", row.status)


async def list_invoices(session: AsyncSession, user_id: UUID) -> Sequence[Invoice]:
    """Every invoice of the user's subscriptions."""
    return (await session.scalars(select(Invoice).where(Invoice.user_id == user_id))).all()


async def get_order(session: AsyncSession, order: str) -> Order:
    """An order that was told before."""
    return await session.get_one(Order, order, populate_existing=True)
