"""What people are told about their account: each text a pure function of one fact.

A letter's key names the fact, so that it is sent once. Secrets travel behind the `#` of a link: no
server and no log on the way sees them.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.transaction import set_tenant
from libs.mail.letters import Letter, letter, queue_letter


def confirm_email(key: str, public_url: str, token: str) -> Letter:
    """Somebody registers with this address."""
    return letter(
        key,
        "Confirm your e-mail address",
        "Welcome to Easel. To open your account, follow this link within a day and enter the"
        " password that you chose:",
        f"{public_url}/confirm-email#token={token}",
        "If you did not register, do nothing: no account is made.",
        holds_secret=True,
    )


def has_account(key: str, public_url: str) -> Letter:
    """Somebody registers with an address that has an account."""
    return letter(
        key,
        "You already have an Easel account",
        "Somebody, probably you, tried to register with this address. You have an account:"
        f" log in at {public_url}/log-in.",
        f"If you forgot the password, choose a new one at {public_url}/forgot-password.",
        "If it was not you, do nothing: nothing has changed.",
    )


def reset_password(key: str, public_url: str, token: str) -> Letter:
    """Somebody forgot the password."""
    return letter(
        key,
        "Choose a new password",
        "To choose a new password for your Easel account, follow this link within 30 minutes:",
        f"{public_url}/reset-password#token={token}",
        "If you did not ask for this, do nothing: your password stays as it is.",
        holds_secret=True,
    )


def no_account(key: str, public_url: str) -> Letter:
    """Somebody forgot the password of an account that there is not."""
    return letter(
        key,
        "You have no Easel account with this address",
        "Somebody, probably you, asked for a new password. There is no account with this address;"
        f" you may have registered with another one, or can register at {public_url}/sign-up.",
        "If it was not you, do nothing.",
    )


def password_changed(key: str, public_url: str, at: datetime) -> Letter:
    """The password is another one now."""
    return letter(
        key,
        "Your password was changed",
        f"The password of your Easel account was changed on {at.day} {at:%B %Y at %H:%M} UTC, and"
        " all other logins were ended.",
        f"If it was not you, choose a new one at once: {public_url}/forgot-password.",
    )


def provider_linked(key: str, public_url: str, provider: str, at: datetime) -> Letter:
    """A sign-in provider opens the account from now on."""
    name = provider.capitalize()
    return letter(
        key,
        f"You can log in with {name} now",
        f"Somebody, probably you, signed in with {name} on {at.day} {at:%B %Y at %H:%M} UTC. {name}"
        " has verified this address, so it opens your Easel account from now on.",
        f"You see and end linked logins at {public_url}/account. If it was not you, do so, and"
        f" choose a new password: {public_url}/forgot-password.",
    )


async def send_letter(
    session: AsyncSession, user_id: UUID, address: str, told: Letter, now: datetime
) -> None:
    """Queue a letter, once for ever. The transaction's tenant is `user_id` afterwards."""
    await set_tenant(session, user_id)
    await queue_letter(session, user_id, address, told, now)
