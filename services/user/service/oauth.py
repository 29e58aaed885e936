"""Sign in with a provider: begin, come back once, and be led to one's account.

RFC 9700 (state, PKCE, exact redirects); docs/adr/0018-sign-in-with-providers.md.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.transaction import set_tenant, transaction
from libs.kernel.ids import new_id
from libs.web.text_fields import MAX_NAME_LENGTH
from services.user.desk import Desk
from services.user.devices import Device
from services.user.letters import provider_linked, send_letter
from services.user.models import User
from services.user.problems import EmailTaken
from services.user.providers.offered import Provider, ProviderAccount, ProviderName, Secrets
from services.user.providers.problems import ProviderEmailUnverified, SignInExpired, SignInRefused
from services.user.repository import accounts, identities
from services.user.repository.identities import Identity
from services.user.schemas import Email, TokensAnswer
from services.user.service.logins import open_login_session
from services.user.service.profile import require_user
from services.user.service.registration import open_account
from services.user.trail import note

ATTEMPT_LIFETIME = timedelta(minutes=10)
SECRET_BYTES = 32
EMAIL: TypeAdapter[str] = TypeAdapter(Email)


def make_browser_secret() -> str:
    """What a browser keeps while it is away at a provider: 256 random bits."""
    return secrets.token_urlsafe(SECRET_BYTES)


def secrets_of(state: str, browser_secret: str) -> Secrets:
    """Nonce and verifier of a sign-in are made of its state and the browser's secret: neither is
    stored, and without the browser nobody has them."""

    def derive(purpose: str) -> str:
        text = f"{purpose}:{state}".encode()
        digest = hmac.digest(browser_secret.encode(), text, "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    return Secrets(state, nonce=derive("nonce"), verifier=derive("verifier"))


def hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


async def begin_sign_in(
    desk: Desk, name: ProviderName, provider: Provider, return_to: str, browser_secret: str
) -> str:
    """The provider's address for a sign-in of this browser. Raises ProviderUnavailable (503)."""
    state = secrets.token_urlsafe(SECRET_BYTES)
    url = await provider.authorization_url(secrets_of(state, browser_secret))
    now = desk.clock()
    async with transaction(desk.pool) as session:
        await identities.forget_expired_attempts(session, now)
        await identities.add_attempt(
            session,
            state_hash=hashed(state),
            browser_hash=hashed(browser_secret),
            provider=name,
            return_to=return_to,
            expires_at=now + ATTEMPT_LIFETIME,
        )
    return url


async def take_attempt(desk: Desk, name: ProviderName, state: str, browser_secret: str) -> str:
    """Where this browser's sign-in returns to. Raises SignInExpired (400): it was never begun, or
    by another browser, or was taken before, or is too old."""
    async with transaction(desk.pool) as session:
        return_to = await identities.take_attempt(
            session,
            state_hash=hashed(state),
            browser_hash=hashed(browser_secret),
            provider=name,
            now=desk.clock(),
        )
    if return_to is None:
        raise SignInExpired()
    return return_to


async def sign_in(
    desk: Desk, name: ProviderName, account: ProviderAccount, device: Device
) -> TokensAnswer:
    """Log in whom the account leads to; a verified address that nobody has makes an account.

    Raises ProviderEmailUnverified (403), SignInRefused (400), AccountSuspended (403).
    """
    try:
        return await _sign_in(desk, name, account, device)
    except EmailTaken:
        # somebody opened an account with the address at this moment: it is found now
        return await _sign_in(desk, name, account, device)


async def _sign_in(
    desk: Desk, name: ProviderName, account: ProviderAccount, device: Device
) -> TokensAnswer:
    now = desk.clock()
    async with transaction(desk.pool) as session:
        owner = await identities.find_owner(session, name, account.subject)
        if owner is not None:
            await set_tenant(session, owner)
            await identities.touch(session, name, account.subject, now)
        else:
            owner = await link(desk, session, name, account, device, now)
        user = await require_user(session, owner, lock=True)
        return await open_login_session(session, user, device, issuer=desk.issuer, clock=desk.clock)


async def link(
    desk: Desk,
    session: AsyncSession,
    name: ProviderName,
    account: ProviderAccount,
    device: Device,
    now: datetime,
) -> UUID:
    """Link the provider's account to the account of its verified address, or to a new one.

    Both sides have proved the address: the provider says so, and every account here has answered
    an e-mail. The transaction's tenant is the owner afterwards.
    """
    email = verified_email(account)
    known = await accounts.find_login(session, email)
    owner = known.user_id if known else new_id()
    await set_tenant(session, owner)
    if known is None:
        await open_account(session, new_user(owner, email, account.name, now), device)
    identity = Identity(new_id(), name, email, now, now)
    if not await identities.add_identity(session, owner, account.subject, identity):
        raise EmailTaken()
    await identities.drop_pending_registrations(session)
    await note(session, "identity.linked", owner, now=now, device=device, provider=name)
    if known is not None:
        told = provider_linked(f"identity:{identity.id}", desk.public_url, name, now)
        await send_letter(session, owner, email, told, now)
    return owner


def verified_email(account: ProviderAccount) -> str:
    """The address as accounts have it. Raises ProviderEmailUnverified, SignInRefused."""
    if account.email is None or not account.email_verified:
        raise ProviderEmailUnverified()
    try:
        return EMAIL.validate_python(account.email)
    except ValidationError:
        raise SignInRefused("The provider's e-mail address is none") from None


def new_user(user_id: UUID, email: str, name: str, now: datetime) -> User:
    """An account without a password, called as the provider calls its owner."""
    printable = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return User(
        id=user_id,
        email=email,
        display_name=printable[:MAX_NAME_LENGTH].strip()
        or email.partition("@")[0][:MAX_NAME_LENGTH],
        password_hash=None,
        role="user",
        created_at=now,
    )
