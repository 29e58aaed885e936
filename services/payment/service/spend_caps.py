"""The verbs of spend caps."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.auth.principals import Principal
from libs.credits.caps import SpendCap, list_caps, set_cap
from libs.credits.pricing import format_credits
from libs.kernel.problems import ValidationFailed
from services.payment.repository.credits import lock_caps
from services.payment.schemas.credits import SpendCapAnswer, SpendCapChange, SpendCapsAnswer

MAX_CAPS = 100


async def get_spend_caps(session: AsyncSession, principal: Principal) -> SpendCapsAnswer:
    """The caller's caps."""
    caps = await list_caps(session, principal.user_id)
    return SpendCapsAnswer(items=[show_cap(cap) for cap in caps])


async def put_spend_cap(
    session: AsyncSession, principal: Principal, change: SpendCapChange
) -> SpendCapsAnswer:
    """Set or lift one cap, with a line in the audit log; all of them afterwards.

    Raises ValidationFailed for one cap too many.
    """
    await lock_caps(session, principal.user_id)
    require_room(await list_caps(session, principal.user_id), change)
    await set_cap(
        session,
        user_id=principal.user_id,
        key_id=change.key_id,
        period=change.period,
        millicredits=change.limit_millicredits,
    )
    await record(
        session,
        actor=f"user:{principal.user_id}",
        action="spend-cap.set",
        subject=f"key:{change.key_id}" if change.key_id else f"user:{principal.user_id}",
        user_id=principal.user_id,
        details=change.model_dump(mode="json", exclude={"key_id"}),
    )
    return await get_spend_caps(session, principal)


def require_room(caps: Sequence[SpendCap], change: SpendCapChange) -> None:
    """Raises ValidationFailed for a new cap where there are `MAX_CAPS`."""
    is_known = any((cap.key_id, cap.period) == (change.key_id, change.period) for cap in caps)
    if change.limit_millicredits is not None and not is_known and len(caps) >= MAX_CAPS:
        message = f"there are {MAX_CAPS} caps already; lift one first"
        errors = [{"field": "body", "message": message}]
        raise ValidationFailed(f"body: {message}", errors=errors)


def show_cap(cap: SpendCap) -> SpendCapAnswer:
    """A cap as its owner sees it."""
    return SpendCapAnswer(
        key_id=cap.key_id,
        period=cap.period,
        limit_millicredits=cap.millicredits,
        limit_credits=format_credits(cap.millicredits),
    )
