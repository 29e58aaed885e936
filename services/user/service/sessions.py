"""Login sessions: their refresh tokens rotate, and they end."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.transaction import set_tenant
from libs.kernel.clock import Clock
from libs.telemetry.logs import get_logger
from services.user.problems import InvalidRefreshToken
from services.user.repository import sessions
from services.user.schemas import TokensAnswer
from services.user.service.logins import issue_tokens
from services.user.service.profile import require_user
from services.user.tokens import TokenIssuer, hash_refresh_token, judge_refresh_token

log = get_logger(__name__)


async def refresh_login(
    session: AsyncSession, refresh_token: str, *, issuer: TokenIssuer, clock: Clock
) -> TokensAnswer | InvalidRefreshToken:
    """Exchange a refresh token for the next one.

    A token that was exchanged before ends its family. The refusal is returned, not raised: raising
    would roll the ending back.
    """
    token_hash, now = hash_refresh_token(refresh_token), clock()
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
        family.revoked_at = now
    if verdict != "valid":
        return InvalidRefreshToken()
    token.used_at = family.refreshed_at = now
    await sessions.forget_expired_tokens(session, family.id, now)
    user = await require_user(session, user_id)
    return await issue_tokens(session, user, family, issuer=issuer, clock=clock)


async def log_out(session: AsyncSession, refresh_token: str, *, clock: Clock) -> None:
    """End the family of a refresh token; what is unknown or has ended needs no ending."""
    token_hash = hash_refresh_token(refresh_token)
    user_id = await sessions.find_token_owner(session, token_hash)
    if user_id is not None:
        await set_tenant(session, user_id)
        await sessions.revoke_session(session, token_hash, clock())
