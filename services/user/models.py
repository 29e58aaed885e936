"""ORM rows of the schema `identity`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from libs.auth.principals import Role
from libs.db.base import Base

SCHEMA = {"schema": "identity"}


class User(Base):
    """Somebody with an account. `email` is lower-case; without a password, a provider logs in."""

    __tablename__ = "users"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    display_name: Mapped[str]
    password_hash: Mapped[str | None]
    role: Mapped[Role] = mapped_column(Text, server_default="user")
    created_at: Mapped[datetime]
    email_verified_at: Mapped[datetime]
    suspended_at: Mapped[datetime | None]

    @property
    def email_verified(self) -> bool:
        """Every account is made by who reads its e-mails."""
        return self.email_verified_at is not None

    @property
    def has_password(self) -> bool:
        return self.password_hash is not None


class LoginSession(Base):
    """One login on one device: a family of refresh tokens. `network` is where it began."""

    __tablename__ = "sessions"
    __table_args__ = SCHEMA

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    created_at: Mapped[datetime]
    refreshed_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    user_agent: Mapped[str | None]
    network: Mapped[str | None]


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


class PendingRegistration(Base):
    """A registration whose e-mail is not confirmed; `user_id` is whom it will make."""

    __tablename__ = "pending_registrations"
    __table_args__ = SCHEMA

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    email: Mapped[str]
    display_name: Mapped[str]
    password_hash: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(server_default="0")


class PasswordReset(Base):
    """Leave to set a new password, for who has the token."""

    __tablename__ = "password_resets"
    __table_args__ = SCHEMA

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
