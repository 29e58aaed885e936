"""Passwords: changed by who knows the old one, chosen anew by who reads the e-mails."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.api_keys import end_keys_of
from libs.auth.passwords import hash_password, verify_password
from libs.auth.principals import Principal
from libs.db.transaction import set_tenant, transaction
from libs.kernel.ids import new_id
from services.user.desk import Desk
from services.user.letters import no_account, password_changed, reset_password, send_letter
from services.user.models import PasswordReset, User
from services.user.password_rules import refuse_weak_password
from services.user.problems import InvalidResetToken, WrongPassword
from services.user.repository import accounts, requests
from services.user.schemas import ForgottenPassword, PasswordChange, PasswordChoice
from services.user.service.profile import require_user
from services.user.service.sessions import end_sessions
from services.user.tokens import hash_opaque_token, make_opaque_token
from services.user.trail import note

RESET_LIFETIME = timedelta(minutes=30)


async def change_password(desk: Desk, principal: Principal, change: PasswordChange) -> None:
    """Set a new password and end all other logins.

    Raises WrongPassword (403), also for an account that has none: that chooses one by e-mail.
    """
    new = change.new_password.get_secret_value()
    async with transaction(desk.pool, principal.user_id) as session:
        user = await require_user(session, principal.user_id)
    refuse_weak(new, user, "body.new_password")
    if not await verify_password(user.password_hash, change.current_password.get_secret_value()):
        raise WrongPassword()
    password_hash, now = await hash_password(new), desk.clock()
    async with transaction(desk.pool, principal.user_id) as session:
        locked = await accounts.lock_user(session, principal.user_id)
        if locked is None or locked.password_hash != user.password_hash:
            raise WrongPassword()  # it was changed while these were hashed
        await set_password(desk, session, locked, password_hash, now, but=principal.session_id)
        await requests.drop_reset(session, locked.id)
        await finish(session, locked, "password.changed", change.end_api_keys, now)


async def forget_password(desk: Desk, forgotten: ForgottenPassword) -> None:
    """Send a link by which a new password can be chosen.

    An unknown address costs the same work and leaves the same rows: only the letter is another one.
    """
    token, now = make_opaque_token(), desk.clock()
    token_hash = hash_opaque_token(token)
    async with transaction(desk.pool) as session:
        await requests.forget_expired(session)
        known = await accounts.find_login(session, forgotten.email)
        owner = known.user_id if known else new_id()
        await set_tenant(session, owner)
        await requests.put_reset(
            session,
            PasswordReset(
                user_id=owner,
                token_hash=token_hash,
                created_at=now,
                expires_at=now + RESET_LIFETIME,
            ),
        )
        key = f"password-reset:{token_hash.hex()}"
        letters = (
            no_account(key, desk.public_url),
            reset_password(key, desk.public_url, token),
        )
        await send_letter(session, owner, forgotten.email, letters[known is not None], now)


async def choose_password(desk: Desk, choice: PasswordChoice) -> None:
    """Set the password of who read the e-mail, and end all logins.

    Raises InvalidResetToken (400), ValidationFailed (422) for a weak password, which leaves the
    token as it is.
    """
    token_hash, password = hash_opaque_token(choice.token), choice.password.get_secret_value()
    async with transaction(desk.pool) as session:
        owner = await requests.find_reset_owner(session, token_hash)
        if owner is None:
            raise InvalidResetToken()
        await set_tenant(session, owner)
        user = await accounts.get_user(session, owner)
    if user is None:
        raise InvalidResetToken()
    refuse_weak(password, user, "body.password")
    password_hash, now = await hash_password(password), desk.clock()
    async with transaction(desk.pool, owner) as session:
        locked = await accounts.lock_user(session, owner)
        if locked is None or not await requests.take_reset(session, token_hash, now):
            raise InvalidResetToken()
        await set_password(desk, session, locked, password_hash, now, but=None)
        await finish(session, locked, "password.reset", choice.end_api_keys, now)


def refuse_weak(password: str, user: User, field: str) -> None:
    refuse_weak_password(password, email=user.email, display_name=user.display_name, field=field)


async def set_password(
    desk: Desk,
    session: AsyncSession,
    user: User,
    password_hash: str,
    now: datetime,
    *,
    but: UUID | None,
) -> None:
    """Write the new hash, end the logins that the old one opened, and tell the owner."""
    user.password_hash = password_hash
    await session.flush()
    await end_sessions(session, user.id, now, but=but)
    told = password_changed(f"password-changed:{new_id()}", desk.public_url, now)
    await send_letter(session, user.id, user.email, told, now)


async def finish(
    session: AsyncSession, user: User, action: str, end_api_keys: bool, now: datetime
) -> None:
    """End the API keys if that was asked for, and write down what was done."""
    if end_api_keys:
        await end_keys_of(session, user.id, now=now)
    await note(session, action, user.id, now=now, ended_api_keys=end_api_keys)
