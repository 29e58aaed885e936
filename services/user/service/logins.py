"""Log in, and the tokens of a login."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.passwords import hash_password, needs_rehash, verify_password
from libs.auth.tokens import ACCESS_TOKEN_LIFETIME
from libs.db.transaction import set_tenant
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.tiers.entitlements import tier_of
from services.user.models import LoginSession, RefreshToken, User
from services.user.problems import InvalidCredentials
from services.user.repository import accounts
from services.user.schemas import Credentials, TokensAnswer
from services.user.service.profile import require_user
from services.user.tokens import (
    REFRESH_TOKEN_LIFETIME,
    TokenIssuer,
    hash_refresh_token,
    make_refresh_token,
)


async def log_in(
    session: AsyncSession, credentials: Credentials, *, issuer: TokenIssuer, clock: Clock
) -> TokensAnswer:
    """Open a login session.

    Raises InvalidCredentials (401): for an unknown address and for a wrong password, after the
    same work.
    """
    password = credentials.password.get_secret_value()
    known = await accounts.find_login(session, credentials.email)
    if not await verify_password(known.password_hash if known else None, password) or not known:
        raise InvalidCredentials()
    await set_tenant(session, known.user_id)
    user = await require_user(session, known.user_id)
    if needs_rehash(user.password_hash):
        user.password_hash = await hash_password(password)
    return await open_login_session(session, user, issuer=issuer, clock=clock)


async def open_login_session(
    session: AsyncSession, user: User, *, issuer: TokenIssuer, clock: Clock
) -> TokensAnswer:
    """A new family of refresh tokens with its first token."""
    now = clock()
    family = LoginSession(id=new_id(), user_id=user.id, created_at=now, refreshed_at=now)
    session.add(family)
    await session.flush()  # the token's foreign key needs the session's row
    return await issue_tokens(session, user, family, issuer=issuer, clock=clock)


async def issue_tokens(
    session: AsyncSession,
    user: User,
    family: LoginSession,
    *,
    issuer: TokenIssuer,
    clock: Clock,
) -> TokensAnswer:
    """The next refresh token of a family, and an access token."""
    now, token = clock(), make_refresh_token()
    expires_at = now + REFRESH_TOKEN_LIFETIME
    session.add(
        RefreshToken(
            token_hash=hash_refresh_token(token),
            user_id=user.id,
            session_id=family.id,
            created_at=now,
            expires_at=expires_at,
        )
    )
    await session.flush()
    return TokensAnswer(
        access_token=issuer.access_token(
            user_id=user.id,
            session_id=family.id,
            role=user.role,
            tier=(await tier_of(session, user.id)).name,
            authenticated_at=family.created_at,
            now=now,
        ),
        expires_in=int(ACCESS_TOKEN_LIFETIME.total_seconds()),
        refresh_token=token,
        refresh_expires_at=expires_at,
    )
