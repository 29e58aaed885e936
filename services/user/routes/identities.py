"""The caller's linked logins."""

from uuid import UUID

from fastapi import APIRouter

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.problems import ValidationFailed
from libs.web.openapi import problem_answers
from services.user.desk import CurrentDesk
from services.user.identity_schemas import IdentitiesAnswer
from services.user.providers.problems import IdentityNotFound, LastWayIn
from services.user.service import identities

router = APIRouter(prefix="/api/v1/users/me/identities", tags=["account"])


@router.get("", dependencies=[users()])
async def list_identities(session: TenantSession, principal: CurrentPrincipal) -> IdentitiesAnswer:
    """The accounts at sign-in providers that open this account, oldest first."""
    return await identities.list_identities(session, principal)


@router.delete(
    "/{identity_id}",
    dependencies=[users()],
    status_code=204,
    responses=problem_answers(IdentityNotFound, LastWayIn, ValidationFailed),
)
async def unlink_identity(
    identity_id: UUID, session: TenantSession, principal: CurrentPrincipal, desk: CurrentDesk
) -> None:
    """Unlink one. The last way into an account stays: set a password first."""
    await identities.unlink(session, principal, identity_id, desk.clock())
