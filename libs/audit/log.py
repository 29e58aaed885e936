"""The append-only log of everything that changes money, access or roles.

A line commits with the change that it tells of.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

ADD = text(
    """
    INSERT INTO ops.audit_log (at, actor, action, subject, user_id, details)
    VALUES (coalesce(CAST(:at AS timestamptz), now()), :actor, :action, :subject, :user_id,
        CAST(:details AS jsonb))
    """
)


async def record(
    session: AsyncSession,
    *,
    actor: str,
    action: str,
    subject: str,
    user_id: UUID | None = None,
    details: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> None:
    """Add one line.

    `actor` is `user:<id>`, `admin:<id>` or a program's name; `action` is `noun.verbed`; `subject`
    names what was changed; `user_id` is whose it is. Details hold no secrets.
    """
    row = {"at": now, "actor": actor, "action": action, "subject": subject, "user_id": user_id}
    await session.execute(ADD, {**row, "details": json.dumps(dict(details or {}))})
