"""Accounts as staff see them, and the audit log."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from libs.auth.access import admins, supporters
from libs.auth.dependencies import CurrentPrincipal
from libs.auth.principals import Role
from libs.kernel.problems import ValidationFailed
from libs.web.moments import Moment
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from libs.web.text_fields import PlainText
from services.user.admin_schemas import AccessChange, AccountAnswer, AuditLineAnswer
from services.user.desk import CurrentDesk
from services.user.problems import AccountNotFound, LastAdministrator
from services.user.repository.staff import LineFilter
from services.user.service import admin

router = APIRouter(prefix="/api/v1/admin", tags=["admin"])


@router.get("/users", dependencies=[supporters()], responses=problem_answers(ValidationFailed))
async def list_users(
    desk: CurrentDesk,
    principal: CurrentPrincipal,
    page: PageQuery,
    q: Annotated[
        PlainText | None,
        Query(max_length=200, description="Part of an address or name, or an id"),
    ] = None,
    role: Annotated[Role | None, Query(description="Only accounts with this role")] = None,
) -> Page[AccountAnswer]:
    """Accounts, newest first."""
    return await admin.list_accounts(desk, principal, page, q=q, role=role)


@router.get(
    "/users/{user_id}",
    dependencies=[supporters()],
    responses=problem_answers(AccountNotFound, ValidationFailed),
)
async def get_user(user_id: UUID, desk: CurrentDesk, principal: CurrentPrincipal) -> AccountAnswer:
    """One account."""
    return await admin.get_account(desk, principal, user_id)


@router.patch(
    "/users/{user_id}",
    dependencies=[admins()],
    responses=problem_answers(AccountNotFound, LastAdministrator, ValidationFailed),
)
async def change_user(
    user_id: UUID, body: AccessChange, desk: CurrentDesk, principal: CurrentPrincipal
) -> AccountAnswer:
    """Change a role, suspend or reinstate. Logins of the old access end within two seconds.

    The API keys of a suspended user end, too, and do not come back.
    """
    return await admin.change_access(desk, principal, user_id, body)


def line_filter(
    actor: Annotated[PlainText | None, Query(description="`user:<id>`, `admin:<id>` ...")] = None,
    action: Annotated[PlainText | None, Query(description="For example `login.failed`")] = None,
    user_id: Annotated[UUID | None, Query(description="Whose it was")] = None,
    since: Annotated[Moment | None, Query(alias="from", description="Inclusive")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="Exclusive")] = None,
) -> LineFilter:
    """FastAPI dependency for `?actor=&action=&user_id=&from=&to=`."""
    return LineFilter(actor, action, user_id, since, until)


@router.get("/audit-log", dependencies=[admins()], responses=problem_answers(ValidationFailed))
async def list_audit_log(
    desk: CurrentDesk,
    principal: CurrentPrincipal,
    page: PageQuery,
    wanted: Annotated[LineFilter, Depends(line_filter)],
) -> Page[AuditLineAnswer]:
    """Who changed money, access or roles, newest first."""
    return await admin.list_audit_lines(desk, principal, page, wanted)
