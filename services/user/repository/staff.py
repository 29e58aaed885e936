"""Queries of staff. They show others' rows after `open_view` alone, and to whom the database knows
as staff: `identity.tenant_is_staff`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Row, column, func, or_, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Role
from libs.tiers.catalogue import DEFAULT_TIER
from services.user.models import User

SET_VIEW = text("SELECT set_config('app.staff_view', :value, true)")
CHANGE = text("SELECT identity.change_access(:user_id, :role, :suspended, :now)")
PLANS = table("entitlements", column("user_id"), column("tier"), schema="ops")
LINES = table(
    "audit_log",
    *map(column, ("id", "at", "actor", "action", "subject", "user_id", "details")),
    schema="ops",
)
# everything of an account that staff see
ACCOUNTS = select(
    User.id,
    User.email,
    User.display_name,
    User.role,
    User.password_hash.is_not(None).label("has_password"),
    User.created_at,
    User.suspended_at,
    func.coalesce(PLANS.c.tier, DEFAULT_TIER).label("tier"),
).join_from(User, PLANS, PLANS.c.user_id == User.id, isouter=True)
AnyRow = Row[*tuple[Any, ...]]
Verdict = Literal["changed", "refused", "unknown", "last_admin"]


@dataclass(frozen=True)
class LineFilter:
    """Which lines of the audit log; None: any. Times: from, inclusive, to, exclusive."""

    actor: str | None
    action: str | None
    user_id: UUID | None
    since: datetime | None
    until: datetime | None


async def open_view(session: AsyncSession) -> None:
    """Let this transaction see what the tenant may see as staff."""
    await session.execute(SET_VIEW, {"value": "on"})


async def close_view(session: AsyncSession) -> None:
    """Let this transaction see the tenant's rows alone."""
    await session.execute(SET_VIEW, {"value": "off"})


def matches(q: str) -> ColumnElement[bool]:
    """Accounts with the text in their address or name, or whose id it is."""
    found = or_(
        User.email.contains(q.lower(), autoescape=True),
        User.display_name.icontains(q, autoescape=True),
    )
    try:
        return or_(found, User.id == UUID(q))
    except ValueError:
        return found


async def list_accounts(
    session: AsyncSession, *, q: str | None, role: Role | None, limit: int, before: UUID | None
) -> Sequence[AnyRow]:
    """Accounts, newest first; one more than `limit`."""
    query = ACCOUNTS
    if q:
        query = query.where(matches(q))
    if role:
        query = query.where(User.role == role)
    if before is not None:
        query = query.where(User.id < before)
    found = await session.execute(query.order_by(User.id.desc()).limit(limit + 1))
    rows: Sequence[AnyRow] = found.all()
    return rows


async def get_account(session: AsyncSession, user_id: UUID) -> AnyRow | None:
    """One account."""
    query = ACCOUNTS.where(User.id == user_id)
    row: AnyRow | None = (await session.execute(query)).one_or_none()
    return row


async def change_access(
    session: AsyncSession,
    user_id: UUID,
    *,
    role: Role | None,
    suspended: bool | None,
    now: datetime,
) -> Verdict:
    """Change a role or a suspension; whatever is not `changed` must be rolled back."""
    values = {"user_id": user_id, "role": role, "suspended": suspended, "now": now}
    return cast(Verdict, await session.scalar(CHANGE, values))


async def list_lines(
    session: AsyncSession, wanted: LineFilter, *, limit: int, before: int | None
) -> Sequence[AnyRow]:
    """Lines of the audit log, newest first; one more than `limit`."""
    query = select(LINES)
    for name in ("actor", "action", "user_id"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(LINES.c[name] == value)
    if wanted.since is not None:
        query = query.where(LINES.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(LINES.c.at < wanted.until)
    if before is not None:
        query = query.where(LINES.c.id < before)
    return (await session.execute(query.order_by(LINES.c.id.desc()).limit(limit + 1))).all()
