"""ORM rows of the schema `identity`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from libs.auth.principals import Role
from libs.db.base import Base

SCHEMA = {"schema": "identity"}


class User(Base):
    """Somebody with an account. `email` is lower-case."""

    __tablename__ = "users"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    display_name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[Role] = mapped_column(Text, server_default="user")
    created_at: Mapped[datetime]


class LoginSession(Base):
    """One login on one device: a family of refresh tokens."""

    __tablename__ = "sessions"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    created_at: Mapped[datetime]
    refreshed_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RefreshToken(Base):
    """A refresh token, known by its SHA-256 alone; `used_at` is when the next one replaced it."""

    __tablename__ = "refresh_tokens"
    __table_args__ = SCHEMA

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    session_id: Mapped[UUID]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
