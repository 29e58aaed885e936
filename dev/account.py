"""Accounts of the local platform, made over the public API; two of them are kept."""

import secrets
from dataclasses import dataclass

from dev.client import ApiError, Client


@dataclass(frozen=True)
class Account:
    """Somebody whom every local platform knows; `secret` names the password in the secrets."""

    email: str
    display_name: str
    secret: str


DEMO = Account("demo@easel.example", "Demo", "demo_password")
OPERATOR = Account("admin@easel.example", "Operator", "admin_password")


def log_in(client: Client, account: Account, password: str) -> None:
    """Log an account in, after registering it if it does not exist yet."""
    credentials = {"email": account.email, "password": password}
    try:
        answer = client.call("POST", "/api/v1/auth/login", credentials)
    except ApiError as error:
        if error.status != 401:
            raise
        body = {**credentials, "display_name": account.display_name}
        answer = client.call("POST", "/api/v1/auth/register", body)
    client.token = answer["access_token"]


def is_admin(client: Client) -> bool:
    """Whether who is logged in has the role of an operator."""
    return bool(client.call("GET", "/api/v1/users/me")["role"] == "admin")


def sign_up(client: Client) -> str:
    """Register a fresh account and log it in; its e-mail address."""
    email = f"visitor-{secrets.token_hex(6)}@easel.example"
    body = {"email": email, "password": secrets.token_urlsafe(18), "display_name": "Visitor"}
    client.token = client.call("POST", "/api/v1/auth/register", body)["access_token"]
    return email
