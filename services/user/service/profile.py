"""The caller's own account and plan."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.kernel.problems import Unauthorized
from libs.tiers.catalogue import load_catalogue
from libs.tiers.entitlements import tier_of
from services.user.models import User
from services.user.repository import accounts
from services.user.schemas import EntitlementsAnswer, Limits, ProfileChange, UserAnswer


async def require_user(session: AsyncSession, user_id: UUID) -> User:
    """The tenant's account. Raises Unauthorized if it is gone while its token still lives."""
    user = await accounts.get_user(session, user_id)
    if user is None:
        raise Unauthorized("The account does not exist any more")
    return user


async def get_profile(session: AsyncSession, principal: Principal) -> UserAnswer:
    """The caller's account."""
    return UserAnswer.model_validate(await require_user(session, principal.user_id))


async def change_profile(
    session: AsyncSession, principal: Principal, change: ProfileChange
) -> UserAnswer:
    """Change what is given."""
    user = await require_user(session, principal.user_id)
    user.display_name = change.display_name
    return UserAnswer.model_validate(user)


async def get_entitlements(session: AsyncSession, principal: Principal) -> EntitlementsAnswer:
    """The caller's plan and its limits."""
    tier = await tier_of(session, principal.user_id)
    return EntitlementsAnswer(
        tier=tier.name,
        catalogue_version=load_catalogue().version,
        limits=Limits.model_validate(tier),
    )
