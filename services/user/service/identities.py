"""The accounts at sign-in providers that open one's account."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.kernel.problems import Unauthorized
from services.user.identity_schemas import IdentitiesAnswer, IdentityAnswer
from services.user.providers.problems import IdentityNotFound, LastWayIn
from services.user.repository import accounts, identities
from services.user.trail import note


async def list_identities(session: AsyncSession, principal: Principal) -> IdentitiesAnswer:
    """The caller's linked logins, oldest first."""
    found = await identities.list_identities(session, principal.user_id)
    return IdentitiesAnswer(items=[IdentityAnswer.model_validate(one) for one in found])


async def unlink(
    session: AsyncSession, principal: Principal, identity_id: UUID, now: datetime
) -> None:
    """End a link. Raises IdentityNotFound (404), LastWayIn (409)."""
    # locked: two requests that each leave the other's link would leave none
    user = await accounts.lock_user(session, principal.user_id)
    if user is None:
        raise Unauthorized("The account does not exist any more")
    provider = await identities.remove_identity(session, identity_id)
    if provider is None:
        raise IdentityNotFound()
    left = await identities.list_identities(session, principal.user_id)
    if user.password_hash is None and not left:
        raise LastWayIn()
    await note(session, "identity.unlinked", user.id, now=now, provider=provider)
