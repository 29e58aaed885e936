"""Login sessions: their refresh tokens rotate, their owners see them, and they end."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.ended_logins import end_logins
from libs.auth.principals import Principal
from libs.db.transaction import set_tenant
from libs.kernel.clock import Clock
from libs.kernel.problems import Unauthorized
from libs.telemetry.logs import get_logger
from libs.web.pagination import Page, PageRequest, make_page
from services.user.models import LoginSession
from services.user.problems import InvalidRefreshToken, SessionNotFound
from services.user.repository import sessions
from services.user.schemas import SessionAnswer, TokensAnswer
from services.user.service.logins import issue_tokens
from services.user.service.profile import require_user
from services.user.tokens import (
    REFRESH_TOKEN_LIFETIME,
    SESSION_LIFETIME,
    TokenIssuer,
    hash_opaque_token,
    judge_refresh_token,
    session_expires_at,
)
from services.user.trail import note

log = get_logger(__name__)


async def refresh_login(
    session: AsyncSession, refresh_token: str, *, issuer: TokenIssuer, clock: Clock
) -> TokensAnswer | InvalidRefreshToken:
    """Exchange a refresh token for the next one.

    A token that was exchanged before ends its family, and its access tokens. The refusal is
    returned, not raised: raising would roll the ending back.
    """
    token_hash, now = hash_opaque_token(refresh_token), clock()
    user_id = await sessions.find_token_owner(session, token_hash)
    if user_id is None:
        return InvalidRefreshToken()
    await set_tenant(session, user_id)
    found = await sessions.lock_token(session, token_hash)
    if found is None:
        return InvalidRefreshToken()
    token, family = found
    verdict = judge_refresh_token(
        used_at=token.used_at,
        expires_at=token.expires_at,
        revoked_at=family.revoked_at,
        now=now,
    )
    if verdict == "reused":
        log.warning("refresh_token_reused", user_id=str(user_id), session_id=str(family.id))
        await end_session(session, user_id, family.id, "login.replayed", now)
    if verdict != "valid":
        return InvalidRefreshToken()
    token.used_at = family.refreshed_at = now
    await sessions.forget_expired_tokens(session, family.id, now)
    user = await require_user(session, user_id)
    return await issue_tokens(session, user, family, issuer=issuer, clock=clock)


async def log_out(session: AsyncSession, refresh_token: str, *, clock: Clock) -> None:
    """End the family of a refresh token; what is unknown or has ended needs no ending."""
    token_hash = hash_opaque_token(refresh_token)
    user_id = await sessions.find_token_owner(session, token_hash)
    if user_id is None:
        return
    await set_tenant(session, user_id)
    session_id = await sessions.session_of_token(session, token_hash)
    if session_id is not None:
        await end_session(session, user_id, session_id, "login.closed", clock())


async def list_sessions(
    session: AsyncSession, principal: Principal, page: PageRequest, now: datetime
) -> Page[SessionAnswer]:
    """The caller's logins that have not ended, newest first."""
    rows = await sessions.list_live(
        session,
        principal.user_id,
        begun_after=now - SESSION_LIFETIME,
        used_after=now - REFRESH_TOKEN_LIFETIME,
        limit=page.limit,
        before=page.before,
    )

    def answer(row: LoginSession) -> SessionAnswer:
        return SessionAnswer(
            id=row.id,
            current=row.id == principal.session_id,
            created_at=row.created_at,
            last_used_at=row.refreshed_at,
            expires_at=session_expires_at(row.created_at, row.refreshed_at),
            user_agent=row.user_agent,
            network=row.network,
        )

    return make_page(rows, page.limit, answer, lambda row: row.id)


async def require_live_login(session: AsyncSession, principal: Principal) -> None:
    """Raises Unauthorized if the caller's login has ended; it cannot before this transaction has.

    Access tokens are taken for two seconds more: too long for what stays, as an API key does.
    """
    if principal.session_id is None or not await sessions.keep_alive(session, principal.session_id):
        raise Unauthorized("The login has ended")


async def end_own_session(
    session: AsyncSession, principal: Principal, session_id: UUID, now: datetime
) -> None:
    """End one of the caller's logins. Raises SessionNotFound (404), for one that has ended too."""
    if not await end_session(session, principal.user_id, session_id, "login.revoked", now):
        raise SessionNotFound()


async def end_session(
    session: AsyncSession, user_id: UUID, session_id: UUID, action: str, now: datetime
) -> bool:
    """End one of the tenant's logins and its access tokens; False if there is none to end."""
    ended = await sessions.revoke(session, user_id, now, only=session_id)
    await end_logins(session, ended, now=now)
    for one in ended:
        await note(session, action, user_id, now=now, session_id=str(one))
    return bool(ended)


async def end_sessions(
    session: AsyncSession, user_id: UUID, now: datetime, *, but: UUID | None = None
) -> int:
    """End all of the tenant's logins and their access tokens, but one; how many."""
    ended = await sessions.revoke(session, user_id, now, but=but)
    await end_logins(session, ended, now=now)
    return len(ended)


async def end_other_sessions(session: AsyncSession, principal: Principal, now: datetime) -> None:
    """End all of the caller's logins but this one."""
    count = await end_sessions(session, principal.user_id, now, but=principal.session_id)
    await note(session, "login.others_revoked", principal.user_id, now=now, count=count)
