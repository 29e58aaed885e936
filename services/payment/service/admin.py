"""The verbs of administrators. Sessions are of the billing role; what changes money is audited."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.auth.principals import Principal
from libs.credits.audit import ledger_check
from libs.credits.ledger import grant_credits
from libs.credits.pricing import format_credits
from libs.db.transaction import set_tenant
from libs.kernel.ids import new_id
from libs.kernel.problems import ValidationFailed
from libs.web.idempotency import IdempotencyKeyReused
from libs.web.pagination import Page, PageRequest, make_page
from services.payment.models import InboxState
from services.payment.problems import UserNotFound
from services.payment.repository import inbox, owners
from services.payment.schemas.admin import (
    FindingAnswer,
    GrantedAnswer,
    GrantRequest,
    LedgerCheckAnswer,
    WebhookEntryAnswer,
)


def actor_of(admin: Principal) -> str:
    """How the audit log names an administrator."""
    return f"admin:{admin.user_id}"


async def give_credits(
    session: AsyncSession, admin: Principal, request: GrantRequest, key: str, now: datetime
) -> GrantedAnswer:
    """Grant credits to a user, once an administrator's key, with a line in the audit log.

    Leaves the transaction's tenant as it was: the administrator. Raises UserNotFound,
    ValidationFailed, and IdempotencyKeyReused for a key whose answer is kept no more.
    """
    if request.expires_at is not None and request.expires_at <= now:
        message = "must be in the future"
        errors = [{"field": "body.expires_at", "message": message}]
        raise ValidationFailed(f"body.expires_at: {message}", errors=errors)
    if not await owners.is_customer(session, request.user_id):
        raise UserNotFound()
    grant_id = new_id()
    await set_tenant(session, request.user_id)
    is_new = await grant_credits(
        session,
        user_id=request.user_id,
        grant_id=grant_id,
        key=f"admin:{admin.user_id}:{key}",
        kind=request.kind,
        amount=request.millicredits,
        expires_at=request.expires_at,
        now=now,
    )
    await set_tenant(session, admin.user_id)
    if not is_new:
        raise IdempotencyKeyReused("Credits were given under this key before")
    await record_grant(session, admin, request, grant_id, now)
    return GrantedAnswer(
        id=grant_id,
        user_id=request.user_id,
        kind=request.kind,
        amount_millicredits=request.millicredits,
        amount_credits=format_credits(request.millicredits),
        expires_at=request.expires_at,
        created_at=now,
    )


async def record_grant(
    session: AsyncSession, admin: Principal, request: GrantRequest, grant_id: UUID, now: datetime
) -> None:
    """The line of the audit log."""
    details = {
        "kind": request.kind,
        "amount_millicredits": request.millicredits,
        "expires_at": request.expires_at.isoformat() if request.expires_at else None,
        "reason": request.reason,
    }
    await record(
        session,
        actor=actor_of(admin),
        action="credits.granted",
        subject=f"grant:{grant_id}",
        user_id=request.user_id,
        details=details,
        now=now,
    )


async def check_ledger(session: AsyncSession) -> LedgerCheckAnswer:
    """Every rule of the ledger that does not hold."""
    found = await ledger_check(session)
    return LedgerCheckAnswer(findings=[FindingAnswer.model_validate(one) for one in found])


async def list_webhooks(
    session: AsyncSession, page: PageRequest, state: InboxState
) -> Page[WebhookEntryAnswer]:
    """The inbox's entries of a state, newest first."""
    rows = await inbox.list_entries(session, state=state, limit=page.limit, before=page.before)
    return make_page(rows, page.limit, WebhookEntryAnswer.model_validate, lambda row: row.id)
