"""FastAPI dependencies: who is calling, and the caller's own transaction."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.keys import TokenVerifier
from libs.auth.principals import Principal
from libs.auth.tokens import InvalidToken
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.problems import Forbidden, Unauthorized
from libs.telemetry.logs import get_logger

log = get_logger(__name__)
bearer = HTTPBearer(auto_error=False, scheme_name="access token", bearerFormat="JWT")


async def require_principal(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Principal:
    """The verified caller. Raises Unauthorized (401) without a valid access token."""
    if credentials is None:
        raise Unauthorized()
    verifier: TokenVerifier = request.app.state.token_verifier
    try:
        return await verifier.verify(credentials.credentials)
    except InvalidToken as error:
        log.info("token_refused", reason=str(error))
        raise Unauthorized("The access token is not valid or has expired") from None


CurrentPrincipal = Annotated[Principal, Depends(require_principal)]


async def require_admin(principal: CurrentPrincipal) -> Principal:
    """The verified caller, who is an administrator. Raises Unauthorized (401), Forbidden (403)."""
    if principal.role != "admin":
        raise Forbidden("This is for administrators")
    return principal


CurrentAdmin = Annotated[Principal, Depends(require_admin)]


async def tenant_session(
    request: Request, principal: CurrentPrincipal
) -> AsyncIterator[AsyncSession]:
    """One transaction in which only the caller's rows exist."""
    sessions: Sessions = request.app.state.sessions
    async with transaction(sessions, principal.user_id) as session:
        yield session


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    """One transaction without a tenant: for routes before or without a login."""
    sessions: Sessions = request.app.state.sessions
    async with transaction(sessions) as session:
        yield session


# scope="function": the commit happens before the answer leaves; a failed one is not a success
TenantSession = Annotated[AsyncSession, Depends(tenant_session, scope="function")]
OpenSession = Annotated[AsyncSession, Depends(open_session, scope="function")]
