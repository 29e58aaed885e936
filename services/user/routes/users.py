"""The caller's own account."""

from fastapi import APIRouter

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.problems import RateLimited, Unauthorized, ValidationFailed
from libs.web.openapi import problem_answers
from services.user.desk import CurrentDesk
from services.user.problems import WrongPassword
from services.user.schemas import EntitlementsAnswer, PasswordChange, ProfileChange, UserAnswer
from services.user.service import passwords, profile
from services.user.throttles import CurrentThrottles

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


@router.post(
    "/password",
    dependencies=[users()],
    status_code=204,
    responses=problem_answers(WrongPassword, ValidationFailed, RateLimited),
)
async def change_password(
    body: PasswordChange,
    desk: CurrentDesk,
    principal: CurrentPrincipal,
    throttles: CurrentThrottles,
) -> None:
    """Change the password. All other logins end; the API keys on demand.

    An account without a password gets its first one by `POST /api/v1/auth/password/forgot`.
    """
    await throttles.count_login(str(principal.user_id))
    await passwords.change_password(desk, principal, body)


@router.get(
    "/entitlements", dependencies=[users("account:read")], responses=problem_answers(Unauthorized)
)
async def get_entitlements(
    session: TenantSession, principal: CurrentPrincipal
) -> EntitlementsAnswer:
    """The caller's plan, what it includes, and what of that is used."""
    return await profile.get_entitlements(session, principal)
