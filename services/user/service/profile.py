"""The caller's own account and plan."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.credits.pricing import format_credits
from libs.kernel.problems import Unauthorized
from libs.tiers.catalogue import load_catalogue
from libs.tiers.entitlements import tier_of
from services.user.models import User
from services.user.repository import accounts
from services.user.repository.usage import read_usage
from services.user.schemas import (
    EntitlementsAnswer,
    Limits,
    ProfileChange,
    Usage,
    Use,
    UserAnswer,
)


async def require_user(session: AsyncSession, user_id: UUID, *, lock: bool = False) -> User:
    """The tenant's account. Raises Unauthorized if it is gone while its token still lives.

    Who opens a login locks it: a suspension then waits for the login, and ends it.
    """
    user = await (accounts.lock_user if lock else accounts.get_user)(session, user_id)
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
    """The caller's plan, its limits, and what of them is used."""
    tier, usage = await tier_of(session, principal.user_id), await read_usage(session)
    return EntitlementsAnswer(
        tier=tier.name,
        catalogue_version=load_catalogue().version,
        limits=Limits.model_validate(tier),
        usage=Usage(
            available_millicredits=usage.available,
            available_credits=format_credits(usage.available),
            held_millicredits=usage.held,
            held_credits=format_credits(usage.held),
            running_jobs=use_of(usage.running, tier.running_jobs),
            waiting_jobs=use_of(usage.waiting, tier.waiting_jobs),
            creates_this_hour=use_of(usage.created_in_an_hour, tier.creates_per_hour),
            storage_bytes=use_of(usage.stored_bytes, tier.storage_bytes),
        ),
    )


def use_of(used: int, limit: int | None) -> Use:
    """A limit and what is left of it; less than nothing, after a smaller plan began, is nothing."""
    return Use(used=used, limit=limit, left=None if limit is None else max(0, limit - used))
