"""Every query of the model service: row security shows official models and the tenant's own."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.pages import newest_first
from services.model.models import Model


async def find_model(session: AsyncSession, name: str) -> Model | None:
    """The model of that slug, or of that id."""
    try:
        named = Model.id == UUID(name)
    except ValueError:
        named = Model.slug == name
    return await session.scalar(select(Model).where(named))


async def list_models(
    session: AsyncSession, *, limit: int, before: UUID | None, type_: str | None, base: str | None
) -> Sequence[Model]:
    """Up to `limit + 1` models, newest first."""
    query = newest_first(select(Model), Model.id, limit=limit, before=before)
    if type_ is not None:
        query = query.where(Model.type == type_)
    if base is not None:
        query = query.where(Model.base == base)
    return (await session.scalars(query)).all()


async def delete_models(session: AsyncSession, user_id: UUID) -> None:
    """Delete the user's own models."""
    await session.execute(delete(Model).where(Model.user_id == user_id))
