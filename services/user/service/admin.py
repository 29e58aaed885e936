"""What staff do with accounts; each change has a line in the audit log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.api_keys import end_keys_of
from libs.auth.principals import Principal, Role
from libs.db.transaction import set_tenant, transaction
from libs.kernel.problems import Forbidden
from libs.web.pagination import Page, PageRequest, cursor_of_number, make_page, number_before
from services.user.admin_schemas import AccessChange, AccountAnswer, AuditLineAnswer
from services.user.desk import Desk
from services.user.problems import AccountNotFound, LastAdministrator
from services.user.repository import staff
from services.user.repository.staff import AnyRow, LineFilter
from services.user.service.sessions import end_sessions
from services.user.trail import note


@asynccontextmanager
async def staff_view(desk: Desk, principal: Principal) -> AsyncIterator[AsyncSession]:
    """A transaction that shows what the caller may see as staff."""
    async with transaction(desk.pool, principal.user_id) as session:
        await staff.open_view(session)
        yield session


async def list_accounts(
    desk: Desk, principal: Principal, page: PageRequest, *, q: str | None, role: Role | None
) -> Page[AccountAnswer]:
    """Accounts, newest first."""
    async with staff_view(desk, principal) as session:
        rows = await staff.list_accounts(
            session, q=q, role=role, limit=page.limit, before=page.before
        )
    return make_page(rows, page.limit, AccountAnswer.model_validate, lambda row: row.id)


async def get_account(desk: Desk, principal: Principal, user_id: UUID) -> AccountAnswer:
    """One account. Raises AccountNotFound (404)."""
    async with staff_view(desk, principal) as session:
        return AccountAnswer.model_validate(await require_account(session, user_id))


async def list_audit_lines(
    desk: Desk, principal: Principal, page: PageRequest, wanted: LineFilter
) -> Page[AuditLineAnswer]:
    """Lines of the audit log, newest first."""
    before = number_before(page)
    async with staff_view(desk, principal) as session:
        rows = await staff.list_lines(session, wanted, limit=page.limit, before=before)
    return make_page(
        rows, page.limit, AuditLineAnswer.model_validate, lambda row: cursor_of_number(row.id)
    )


async def change_access(
    desk: Desk, admin: Principal, user_id: UUID, change: AccessChange
) -> AccountAnswer:
    """Change an account's role or suspension, and end what its old access had opened.

    Raises Forbidden (403), AccountNotFound (404), LastAdministrator (409).
    """
    now = desk.clock()
    async with staff_view(desk, admin) as session:
        before = await require_account(session, user_id)
        verdict = await staff.change_access(
            session, user_id, role=change.role, suspended=change.suspended, now=now
        )
        if verdict == "refused":
            raise Forbidden("This is for administrators")
        if verdict == "last_admin":
            raise LastAdministrator()
        after = await require_account(session, user_id)
        await staff.close_view(session)
        await set_tenant(session, user_id)
        await settle_change(session, admin, before, after, change.reason, now)
        return AccountAnswer.model_validate(after)


async def require_account(session: AsyncSession, user_id: UUID) -> AnyRow:
    """An account that the caller may see. Raises AccountNotFound (404)."""
    account = await staff.get_account(session, user_id)
    if account is None:
        raise AccountNotFound()
    return account


async def settle_change(
    session: AsyncSession,
    admin: Principal,
    before: AnyRow,
    after: AnyRow,
    reason: str,
    now: datetime,
) -> None:
    """Logins of another role or of a suspended user end, keys of a suspended one; lines are added.

    The transaction's tenant is the user.
    """
    actor, user_id = f"admin:{admin.user_id}", after.id
    if after.role != before.role:
        await end_sessions(session, user_id, now)
        roles = {"role": after.role, "role_before": before.role}
        await note(
            session, "user.role_changed", user_id, now=now, actor=actor, reason=reason, **roles
        )
    if (after.suspended_at is None) != (before.suspended_at is None):
        action = "user.reinstated"
        if after.suspended_at is not None:
            await end_sessions(session, user_id, now)
            await end_keys_of(session, user_id, now=now)
            action = "user.suspended"
        await note(session, action, user_id, now=now, actor=actor, reason=reason)
