"""FastAPI dependencies: who is calling, and the caller's own transaction.

Both stand on the route's declaration in `libs.auth.access`, which runs before them.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.db.engine import Sessions
from libs.db.transaction import transaction


async def current_principal(request: Request) -> Principal:
    """The caller whom the route's declaration let in."""
    principal: Principal = request.state.principal
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


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
