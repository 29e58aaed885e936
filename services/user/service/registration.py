"""Register, and confirm by e-mail: an account is made by who reads it and knows the password."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.passwords import hash_password, verify_password
from libs.credits.free_grants import open_account_with_a_free_month
from libs.db.transaction import set_tenant, transaction
from libs.kernel.ids import new_id
from services.user.desk import Desk
from services.user.devices import Device
from services.user.letters import confirm_email, has_account, send_letter
from services.user.models import PendingRegistration, User
from services.user.password_rules import refuse_weak_password
from services.user.problems import EmailTaken, InvalidConfirmationToken, WrongPassword
from services.user.repository import accounts, requests
from services.user.schemas import Confirmation, Registration, RegistrationAnswer, UserAnswer
from services.user.service.logins import open_login_session
from services.user.tokens import hash_opaque_token, make_opaque_token
from services.user.trail import note

CONFIRMATION_LIFETIME = timedelta(hours=24)
ALLOWED_TRIES = 5


async def register(desk: Desk, registration: Registration) -> None:
    """Send an e-mail that says how to go on. Raises ValidationFailed for a weak password.

    An address that has an account costs the same work and leaves the same rows: only the letter is
    another one, and nobody gets the token.
    """
    email, password = registration.email, registration.password.get_secret_value()
    name = registration.display_name
    refuse_weak_password(password, email=email, display_name=name, field="body.password")
    token, now, password_hash = make_opaque_token(), desk.clock(), await hash_password(password)
    token_hash = hash_opaque_token(token)
    pending = PendingRegistration(
        token_hash=token_hash,
        user_id=new_id(),
        email=email,
        display_name=name,
        password_hash=password_hash,
        created_at=now,
        expires_at=now + CONFIRMATION_LIFETIME,
    )
    async with transaction(desk.pool) as session:
        await requests.forget_expired(session)
        known = await accounts.find_login(session, email)
        await set_tenant(session, pending.user_id)
        session.add(pending)
        await session.flush()
        key = f"registration:{token_hash.hex()}"
        letters = (confirm_email(key, desk.public_url, token), has_account(key, desk.public_url))
        owner = known.user_id if known else pending.user_id
        await send_letter(session, owner, email, letters[known is not None], now)


async def confirm_registration(
    desk: Desk, confirmation: Confirmation, device: Device
) -> RegistrationAnswer:
    """Open the account with the free tier's credits of this month, and log it in.

    Raises InvalidConfirmationToken (400), WrongPassword (403), and EmailTaken (409): another
    registration of this address was confirmed before.
    """
    pending = await read_pending(desk, hash_opaque_token(confirmation.token))
    password = confirmation.password.get_secret_value()
    if not await verify_password(pending.password_hash, password):
        raise WrongPassword(tries_left=ALLOWED_TRIES - pending.tries)
    async with transaction(desk.pool, pending.user_id) as session:
        if not await requests.take_pending(session, pending.token_hash):
            raise InvalidConfirmationToken()
        user = await open_account(
            session,
            User(
                id=pending.user_id,
                email=pending.email,
                display_name=pending.display_name,
                password_hash=pending.password_hash,
                role="user",
                created_at=desk.clock(),
            ),
            device,
        )
        tokens = await open_login_session(
            session, user, device, issuer=desk.issuer, clock=desk.clock
        )
    return RegistrationAnswer(user=UserAnswer.model_validate(user), **tokens.model_dump())


async def read_pending(desk: Desk, token_hash: bytes) -> PendingRegistration:
    """The registration behind a token, with this try counted. Raises InvalidConfirmationToken.

    It is counted before the password is looked at, so that many tries at once are as few.
    """
    async with transaction(desk.pool) as session:
        owner = await requests.find_pending_owner(session, token_hash)
        if owner is None:
            raise InvalidConfirmationToken()
        await set_tenant(session, owner)
        pending = await requests.count_try(
            session, token_hash, allowed=ALLOWED_TRIES, now=desk.clock()
        )
    if pending is None:
        raise InvalidConfirmationToken()
    return pending


async def open_account(session: AsyncSession, user: User, device: Device) -> User:
    """Make an account, whose address is proven, in its own transaction. Raises EmailTaken (409)."""
    user.email_verified_at = user.created_at
    if not await accounts.add_user(session, user):
        raise EmailTaken()
    await open_account_with_a_free_month(session, user_id=user.id, now=user.created_at)
    await note(session, "account.opened", user.id, now=user.created_at, device=device)
    return user
