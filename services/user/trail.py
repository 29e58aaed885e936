"""Lines of the audit log about accounts: who may enter, and as what."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.web.request_ids import current_request_id
from services.user.devices import Device


async def note(
    session: AsyncSession,
    action: str,
    user_id: UUID | None,
    *,
    now: datetime,
    actor: str | None = None,
    device: Device | None = None,
    **details: Any,
) -> None:
    """One line about the tenant, by the tenant if no `actor` is given; None: about no account.

    Details hold no secret and no e-mail address.
    """
    if device is not None:
        details |= {"network": device.network}  # no more: these lines outlive the account
    subject = f"user:{user_id}" if user_id else "user:unknown"
    await record(
        session,
        actor=actor or subject,
        action=action,
        subject=subject,
        user_id=user_id,
        details={**details, "request_id": current_request_id()},
        now=now,
    )
