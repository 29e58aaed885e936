"""The verbs of accounts: register, log in, refresh, log out, read and change the profile."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.passwords import hash_password, needs_rehash, verify_password
from libs.auth.principals import Principal
from libs.auth.tokens import ACCESS_TOKEN_LIFETIME
from libs.credits.free_grants import open_account_with_a_free_month
from libs.db.transaction import set_tenant
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.kernel.problems import Unauthorized
from libs.telemetry.logs import get_logger
from libs.tiers.catalogue import load_catalogue
from libs.tiers.entitlements import tier_of
from services.user import repository
from services.user.models import LoginSession, RefreshToken, User
from services.user.problems import EmailTaken, InvalidCredentials, InvalidRefreshToken
from services.user.schemas import (
    Credentials,
    EntitlementsAnswer,
    Limits,
    ProfileChange,
    Registration,
    RegistrationAnswer,
    TokensAnswer,
    UserAnswer,
)
from services.user.tokens import (
    REFRESH_TOKEN_LIFETIME,
    TokenIssuer,
    hash_refresh_token,
    judge_refresh_token,
    make_refresh_token,
)

log = get_logger(__name__)


async def register(
    session: AsyncSession, registration: Registration, *, issuer: TokenIssuer, clock: Clock
) -> RegistrationAnswer:
    """Open an account with the free tier's credits of this month, and log it in.

    Raises EmailTaken (409).
    """
    password_hash = await hash_password(registration.password.get_secret_value())
    user = User(
        id=new_id(),
        email=registration.email,
        display_name=registration.display_name,
        password_hash=password_hash,
        role="user",
        created_at=clock(),
    )
    await set_tenant(session, user.id)
    if not await repository.add_user(session, user):
        raise EmailTaken()
    await open_account_with_a_free_month(session, user_id=user.id, now=user.created_at)
    tokens = await open_login_session(session, user, issuer=issuer, clock=clock)
    return RegistrationAnswer(user=UserAnswer.model_validate(user), **tokens.model_dump())


async def log_in(
    session: AsyncSession, credentials: Credentials, *, issuer: TokenIssuer, clock: Clock
) -> TokensAnswer:
    """Open a login session.

    Raises InvalidCredentials (401): for an unknown address and for a wrong password, after the
    same work.
    """
    password = credentials.password.get_secret_value()
    known = await repository.find_login(session, credentials.email)
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
        access_token=issuer.access_token(user.id, family.id, user.role, now),
        expires_in=int(ACCESS_TOKEN_LIFETIME.total_seconds()),
        refresh_token=token,
        refresh_expires_at=expires_at,
    )


async def refresh_login(
    session: AsyncSession, refresh_token: str, *, issuer: TokenIssuer, clock: Clock
) -> TokensAnswer | InvalidRefreshToken:
    """Exchange a refresh token for the next one.

    A token that was exchanged before ends its family. The refusal is returned, not raised: raising
    would roll the ending back.
    """
    token_hash, now = hash_refresh_token(refresh_token), clock()
    user_id = await repository.find_token_owner(session, token_hash)
    if user_id is None:
        return InvalidRefreshToken()
    await set_tenant(session, user_id)
    found = await repository.lock_token(session, token_hash)
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
    await repository.forget_expired_tokens(session, family.id, now)
    user = await require_user(session, user_id)
    return await issue_tokens(session, user, family, issuer=issuer, clock=clock)


async def log_out(session: AsyncSession, refresh_token: str, *, clock: Clock) -> None:
    """End the family of a refresh token; what is unknown or has ended needs no ending."""
    token_hash = hash_refresh_token(refresh_token)
    user_id = await repository.find_token_owner(session, token_hash)
    if user_id is not None:
        await set_tenant(session, user_id)
        await repository.revoke_session(session, token_hash, clock())


async def require_user(session: AsyncSession, user_id: UUID) -> User:
    """The tenant's account. Raises Unauthorized if it is gone while its token still lives."""
    user = await repository.get_user(session, user_id)
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
