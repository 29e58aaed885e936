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
    """A finished picture: where its bytes lie and what makes it again.

    One that was uploaded (`source`) has no job, seed or model.
    """

    __tablename__ = "images"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    source: Mapped[str] = mapped_column(server_default="generation")
    job_id: Mapped[UUID | None]
    object_key: Mapped[str]
    thumbnail_key: Mapped[str]
    format: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    seed: Mapped[int | None] = mapped_column(BigInteger)
    model: Mapped[str | None]
    prompt: Mapped[str]
    negative_prompt: Mapped[str]
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    manifest: Mapped[dict[str, Any]] = mapped_column(JSONB)
    starred: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime]
    search: Mapped[str] = mapped_column(
        TSVECTOR, Computed("to_tsvector('pg_catalog.simple', prompt)"), deferred=True
    )


class Upload(Base):
    """An upload under way: what was declared of the file. It becomes the image of the same id.

    One that has ended stays until its URL has expired, to clear away what is sent to it again.
    """

    __tablename__ = "uploads"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    content_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    @property
    def object_key(self) -> str:
        """Where the file arrives: below its owner's prefix, like everything of theirs."""
        return f"{self.user_id}/uploads/{self.id}"


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
