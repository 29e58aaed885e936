"""Queries of exports. Asking runs as the user; making as the account worker's role."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.privacy.collections import Collection

# A link that opens the account is for who reads the e-mails: a login alone does not.
LETTER = """
    to_jsonb(t) - 'error' - 'holds_secret'
        - CASE WHEN t.holds_secret THEN '{text,html}' ELSE '{}' END::text[]
"""
# What the account worker hands out itself. No secret is readable for its role.
COLLECTIONS = (
    Collection(
        "profile",
        "identity.users",
        owner="t.id",
        row="jsonb_build_object('id', t.id, 'email', t.email, 'display_name', t.display_name,"
        " 'role', t.role, 'created_at', t.created_at, 'email_verified_at', t.email_verified_at,"
        " 'suspended_at', t.suspended_at)",
    ),
    Collection(
        "logins",
        "identity.sessions",
        row="jsonb_build_object('id', t.id, 'created_at', t.created_at, 'refreshed_at',"
        " t.refreshed_at, 'revoked_at', t.revoked_at, 'user_agent', t.user_agent, 'network',"
        " t.network)",
    ),
    Collection(
        "sign_in_providers",
        "identity.identities",
        row="jsonb_build_object('id', t.id, 'provider', t.provider, 'subject', t.subject,"
        " 'email', t.email, 'created_at', t.created_at, 'last_used_at', t.last_used_at)",
    ),
    Collection(
        "api_keys",
        "ops.api_keys",
        row="jsonb_build_object('id', t.id, 'name', t.name, 'prefix', t.prefix, 'scopes',"
        " t.scopes, 'created_at', t.created_at, 'expires_at', t.expires_at, 'last_used_at',"
        " t.last_used_at, 'ended_at', t.ended_at)",
    ),
    Collection("emails", "ops.emails", key_type="bigint", row=LETTER),
    Collection("audit_log", "ops.audit_log", key_type="bigint"),
    Collection("exports", "identity.exports", row="to_jsonb(t) - 'upload_id' - 'error'"),
)
ADD = text(
    """
    INSERT INTO identity.exports (id, user_id, requested_at, next_try_at)
    VALUES (:id, :user, :now, :now) ON CONFLICT DO NOTHING
    """
)
NEWEST = text(
    """
    SELECT id, user_id, state, requested_at, size_bytes, ready_at, expires_at
    FROM identity.exports WHERE user_id = :user ORDER BY id DESC LIMIT 1
    """
)
CLAIM = text(
    """
    UPDATE identity.exports SET attempts = attempts + 1, next_try_at = :free_again,
        state = 'making'
    WHERE id = (
        SELECT id FROM identity.exports
        WHERE state IN ('requested', 'making') AND next_try_at <= :now
        ORDER BY next_try_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, user_id, attempts, upload_id
    """
)
RENEW = text(
    """
    UPDATE identity.exports SET next_try_at = :free_again, upload_id = :upload_id
    WHERE id = :id AND attempts = :attempts AND state = 'making' RETURNING id
    """
)
READY = text(
    """
    UPDATE identity.exports SET state = 'ready', upload_id = NULL, error = NULL,
        size_bytes = :size_bytes, ready_at = :now, expires_at = :expires_at
    WHERE id = :id AND attempts = :attempts AND state = 'making' RETURNING id
    """
)
FAIL = text(
    """
    UPDATE identity.exports SET state = :state, error = :error, next_try_at = :next_try_at
    WHERE id = :id AND attempts = :attempts AND state = 'making'
    """
)
EXPIRED = text(
    """
    SELECT id, user_id, attempts, upload_id FROM identity.exports
    WHERE state = 'ready' AND expires_at <= :now ORDER BY expires_at LIMIT 100
    """
)
OF_USER = text(
    "SELECT id, user_id, attempts, upload_id FROM identity.exports WHERE user_id = :user"
)
DELETE = text("DELETE FROM identity.exports WHERE id = :id")


ExportState = Literal["requested", "making", "ready", "failed"]


@dataclass(frozen=True)
class Export:
    """An export as its owner sees it."""

    id: UUID
    user_id: UUID
    state: ExportState
    requested_at: datetime
    size_bytes: int | None
    ready_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Claim:
    """An export that this process makes; `attempts` is the fencing number. `upload_id` is of parts
    that lie in the store."""

    id: UUID
    user_id: UUID
    attempts: int
    upload_id: str | None


class ExportLost(Exception):
    """Another process makes the export, or nobody wants it any more."""


def archive_prefix(user_id: UUID) -> str:
    """Below which a user's archives lie."""
    return f"exports/{user_id}/"


def archive_key(user_id: UUID, export_id: UUID) -> str:
    """Where an archive lies."""
    return f"{archive_prefix(user_id)}{export_id}.zip"


async def add_export(session: AsyncSession, export_id: UUID, user_id: UUID, now: datetime) -> None:
    """Ask for an export of the tenant; nothing, if one is being made."""
    await session.execute(ADD, {"id": export_id, "user": user_id, "now": now})


async def newest_export(session: AsyncSession, user_id: UUID) -> Export | None:
    """The export that was asked for last."""
    row = (await session.execute(NEWEST, {"user": user_id})).one_or_none()
    return None if row is None else Export(**row._mapping)


async def claim_due(session: AsyncSession, now: datetime, lease: timedelta) -> Claim | None:
    """The export that is due the longest and that nobody else makes."""
    row = (await session.execute(CLAIM, {"now": now, "free_again": now + lease})).one_or_none()
    return None if row is None else Claim(**row._mapping)


async def renew(
    session: AsyncSession, claim: Claim, free_again: datetime, upload_id: str | None
) -> None:
    """Go on making, with parts in the store. Raises ExportLost."""
    key = {"id": claim.id, "attempts": claim.attempts}
    values = {**key, "free_again": free_again, "upload_id": upload_id}
    if await session.scalar(RENEW, values) is None:
        raise ExportLost(str(claim.id))


async def finish(
    session: AsyncSession, claim: Claim, *, size_bytes: int, now: datetime, expires_at: datetime
) -> None:
    """The archive is there. Raises ExportLost."""
    key = {"id": claim.id, "attempts": claim.attempts}
    values = {**key, "size_bytes": size_bytes, "now": now, "expires_at": expires_at}
    if await session.scalar(READY, values) is None:
        raise ExportLost(str(claim.id))


async def fail(
    session: AsyncSession, claim: Claim, error: str, *, for_good: bool, due: datetime
) -> None:
    """The archive could not be made; it is tried again then, or never."""
    key = {"id": claim.id, "attempts": claim.attempts}
    state = "failed" if for_good else "making"
    await session.execute(FAIL, {**key, "state": state, "error": error, "next_try_at": due})


async def list_expired(session: AsyncSession, now: datetime) -> list[Claim]:
    """Archives whose time is over."""
    return [Claim(**row._mapping) for row in await session.execute(EXPIRED, {"now": now})]


async def exports_of(session: AsyncSession, user_id: UUID) -> list[Claim]:
    """All exports of a user, whatever became of them."""
    return [Claim(**row._mapping) for row in await session.execute(OF_USER, {"user": user_id})]


async def delete_export(session: AsyncSession, export_id: UUID) -> None:
    """Forget an export."""
    await session.execute(DELETE, {"id": export_id})
