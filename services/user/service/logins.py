"""Log in, and the tokens of a login."""

from typing import Any, Literal, get_args

from prometheus_client import Counter
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.passwords import hash_password, needs_rehash, verify_password
from libs.auth.tokens import ACCESS_TOKEN_LIFETIME
from libs.db.transaction import transaction
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.tiers.entitlements import tier_of
from services.user.desk import Desk
from services.user.devices import Device
from services.user.models import LoginSession, RefreshToken, User
from services.user.problems import AccountSuspended, InvalidCredentials
from services.user.repository import accounts, sessions
from services.user.schemas import Credentials, TokensAnswer
from services.user.tokens import (
    SESSION_LIFETIME,
    TokenIssuer,
    hash_opaque_token,
    make_opaque_token,
    session_expires_at,
)
from services.user.trail import note

Outcome = Literal["opened", "failed", "suspended"]
logins = Counter("easel_logins_total", "Logins of all kinds", ("outcome",))
for name in get_args(Outcome):
    logins.labels(name)  # a series that begins at 0 shows its first increase


async def log_in(desk: Desk, credentials: Credentials, device: Device) -> TokensAnswer:
    """Open a login session. No connection is held while the password is hashed.

    Raises InvalidCredentials (401), for an unknown address and for a wrong password after the same
    work, and AccountSuspended (403) after the right password alone.
    """
    password = credentials.password.get_secret_value()
    async with transaction(desk.pool) as session:
        known = await accounts.find_login(session, credentials.email)
    if not await verify_password(known.password_hash if known else None, password) or not known:
        await note_failure(desk, known, device)
        raise InvalidCredentials()
    stronger = await hash_password(password) if needs_rehash(known.password_hash) else None
    async with transaction(desk.pool, known.user_id) as session:
        user = await accounts.lock_user(session, known.user_id)
        if user is None or user.password_hash != known.password_hash:
            raise InvalidCredentials()  # it was changed while this one was hashed
        tokens = await open_login_session(
            session, user, device, issuer=desk.issuer, clock=desk.clock
        )
        if stronger is not None:
            user.password_hash = stronger
        return tokens


async def note_failure(desk: Desk, known: Row[Any] | None, device: Device) -> None:
    """A line in the audit log, of nobody's if the address is unknown, by the same statements."""
    logins.labels("failed").inc()
    user_id = known.user_id if known else None
    async with transaction(desk.pool, user_id or new_id()) as session:
        await note(session, "login.failed", user_id, now=desk.clock(), device=device)


async def open_login_session(
    session: AsyncSession, user: User, device: Device, *, issuer: TokenIssuer, clock: Clock
) -> TokensAnswer:
    """A new family of refresh tokens with its first token. Raises AccountSuspended (403)."""
    if user.suspended_at is not None:
        logins.labels("suspended").inc()
        raise AccountSuspended()
    logins.labels("opened").inc()
    now = clock()
    await sessions.forget_ended(session, user.id, now - SESSION_LIFETIME)
    family = LoginSession(
        id=new_id(),
        user_id=user.id,
        created_at=now,
        refreshed_at=now,
        user_agent=device.user_agent,
        network=device.network,
    )
    session.add(family)
    await session.flush()  # the token's foreign key needs the session's row
    await note(session, "login.opened", user.id, now=now, device=device, session_id=str(family.id))
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
    now, token = clock(), make_opaque_token()
    expires_at = session_expires_at(family.created_at, now)
    session.add(
        RefreshToken(
            token_hash=hash_opaque_token(token),
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
