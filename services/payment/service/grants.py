"""Make a user's grants those that are due."""

from collections.abc import Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.ledger import end_grant, grant_credits, take_back
from libs.kernel.ids import new_id
from services.payment.grants import DueGrant, Ending, KnownGrant, Reversal, postings
from services.payment.repository import grants


async def settle_grants(
    session: AsyncSession,
    user_id: UUID,
    due: DueGrant | None,
    known: Sequence[KnownGrant],
    *,
    ending: Ending,
    now: datetime,
) -> None:
    """End what is not due, give what is due and was not given, take back what was refunded.

    The transaction's tenant is the user, whose billing is locked. `known` are the grants of one
    subscription or order; `ending` is why those end that are not due.
    """
    wanted = postings(due, known)
    for key in wanted.ends:
        await end_grant(session, user_id=user_id, key=key, why=ending, now=now)
    if due is None or wanted.live is None:
        return
    if wanted.gives is not None:
        key, amount = wanted.gives
        await grant_credits(
            session,
            user_id=user_id,
            grant_id=new_id(),
            key=key,
            kind=due.kind,
            amount=amount,
            expires_at=due.expires_at,
            now=now,
        )
    for reversal in due.reversals:
        await take_share_back(session, user_id, due.key, wanted.live, reversal, now)


async def take_share_back(
    session: AsyncSession,
    user_id: UUID,
    occasion: str,
    live_key: str,
    reversal: Reversal,
    now: datetime,
) -> None:
    """Take back what a refund asks for, less what it has asked for before."""
    asked = await grants.asked_back(session, occasion, reversal.source)
    if reversal.amount <= asked:
        return
    await take_back(
        session,
        user_id=user_id,
        key=live_key,
        reversal_id=uuid5(NAMESPACE_URL, f"{occasion}/{reversal.source}/{reversal.amount}"),
        amount=reversal.amount - asked,
        now=now,
    )
    await grants.ask_back(session, user_id, occasion, reversal.source, reversal.amount)
