"""ORM rows of the schema `gallery`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Computed
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from libs.db.base import Base

SCHEMA = {"schema": "gallery"}


class Image(Base):
    """A finished picture: where its bytes lie and what makes it again."""

    __tablename__ = "images"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    job_id: Mapped[UUID]
    object_key: Mapped[str]
    thumbnail_key: Mapped[str]
    format: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    seed: Mapped[int] = mapped_column(BigInteger)
    model: Mapped[str]
    prompt: Mapped[str]
    negative_prompt: Mapped[str]
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    manifest: Mapped[dict[str, Any]] = mapped_column(JSONB)
    starred: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime]
    search: Mapped[str] = mapped_column(
        TSVECTOR, Computed("to_tsvector('pg_catalog.simple', prompt)"), deferred=True
    )


class Board(Base):
    """A named collection of a user's images."""

    __tablename__ = "boards"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    name: Mapped[str]
    created_at: Mapped[datetime]


class BoardImage(Base):
    """An image is on a board; it may be on any number of them."""

    __tablename__ = "board_images"
    __table_args__ = SCHEMA

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    board_id: Mapped[UUID] = mapped_column(primary_key=True)
    image_id: Mapped[UUID] = mapped_column(primary_key=True)
