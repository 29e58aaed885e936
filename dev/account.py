"""Accounts of the local platform, made over the public API; two of them are kept."""

import secrets
from dataclasses import dataclass

from dev.client import ApiError, Client
from dev.mailbox import Mailbox


@dataclass(frozen=True)
class Account:
    """Somebody whom every local platform knows; `secret` names the password in the secrets."""

    email: str
    display_name: str
    secret: str


DEMO = Account("demo@easel.example", "Demo", "demo_password")
OPERATOR = Account("admin@easel.example", "Operator", "admin_password")


def log_in(client: Client, mailbox: Mailbox, account: Account, password: str) -> None:
    """Log an account in, after opening it if it does not exist yet."""
    credentials = {"email": account.email, "password": password}
    try:
        client.token = client.call("POST", "/api/v1/auth/login", credentials)["access_token"]
    except ApiError as error:
        if error.status != 401:
            raise
        register(client, mailbox, account.email, password, account.display_name)


def register(
    client: Client, mailbox: Mailbox, email: str, password: str, display_name: str
) -> None:
    """Open an account, confirmed by the e-mail that comes, and log it in."""
    wanted = {"email": email, "password": password, "display_name": display_name}
    client.call("POST", "/api/v1/auth/register", wanted)
    confirmation = {"token": mailbox.wait_for_token(email), "password": password}
    answer = client.call("POST", "/api/v1/auth/email/verify", confirmation)
    client.token = answer["access_token"]


def is_admin(client: Client) -> bool:
    """Whether who is logged in has the role of an operator."""
    return bool(client.call("GET", "/api/v1/users/me")["role"] == "admin")


def sign_up(client: Client, mailbox: Mailbox, name: str = "Visitor") -> tuple[str, str]:
    """Open a fresh account and log it in; its e-mail address and password."""
    email = f"{name.lower()}-{secrets.token_hex(8)}@easel.example"
    password = secrets.token_urlsafe(18)
    register(client, mailbox, email, password, name)
    return email, password
