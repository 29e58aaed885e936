"""The caller's own account."""

from fastapi import APIRouter

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.web.openapi import problem_answers
from services.user.schemas import EntitlementsAnswer, ProfileChange, UserAnswer
from services.user.service import profile

router = APIRouter(prefix="/api/v1/users/me", tags=["account"])


@router.get("", dependencies=[users("account:read")], responses=problem_answers(Unauthorized))
async def get_profile(session: TenantSession, principal: CurrentPrincipal) -> UserAnswer:
    """The caller's account."""
    return await profile.get_profile(session, principal)


@router.patch("", dependencies=[users()], responses=problem_answers(Unauthorized, ValidationFailed))
async def change_profile(
    body: ProfileChange, session: TenantSession, principal: CurrentPrincipal
) -> UserAnswer:
    """Change the display name."""
    return await profile.change_profile(session, principal, body)


@router.get(
    "/entitlements", dependencies=[users("account:read")], responses=problem_answers(Unauthorized)
)
async def get_entitlements(
    session: TenantSession, principal: CurrentPrincipal
) -> EntitlementsAnswer:
    """The caller's plan and what it includes."""
    return await profile.get_entitlements(session, principal)
