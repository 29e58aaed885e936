"""ORM rows of the schema `models`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from libs.db.base import Base


class Model(Base):
    """Something that can be asked for; official ones have no owner."""

    __tablename__ = "models"
    __table_args__ = {"schema": "models"}

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None]
    slug: Mapped[str]
    name: Mapped[str]
    type: Mapped[str]
    base: Mapped[str]
    description: Mapped[str]
    default_width: Mapped[int]
    default_height: Mapped[int]
    max_side: Mapped[int]
    default_steps: Mapped[int]
    default_guidance: Mapped[float]
    created_at: Mapped[datetime]
