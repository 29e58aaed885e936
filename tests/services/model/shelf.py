"""Models beyond the demo one, put there as an operator would."""

from uuid import UUID

from sqlalchemy import text

from libs.db.engine import Sessions
from libs.kernel.ids import new_id

ADD = text(
    """
    INSERT INTO models.models (id, user_id, slug, name, type, base, description,
        default_width, default_height, max_side, default_steps, default_guidance)
    VALUES (:id, :user_id, :slug, :slug, :type, :base, '', :side, :side, :side, 30, 7.0)
    """
)


async def add_model(
    admin: Sessions,
    slug: str,
    *,
    base: str,
    type: str = "checkpoint",
    side: int = 512,
    owner: UUID | None = None,
) -> UUID:
    """An official model, or one that belongs to somebody."""
    model_id = new_id()
    row = {"id": model_id, "user_id": owner, "slug": slug, "type": type, "base": base, "side": side}
    async with admin.begin() as session:
        await session.execute(ADD, row)
    return model_id
