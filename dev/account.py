"""Accounts of the local platform, made over the public API; the demo account is kept."""

import secrets

from dev.client import ApiError, Client

EMAIL = "demo@easel.example"
DISPLAY_NAME = "Demo"


def log_in(client: Client, password: str) -> None:
    """Log the demo account in, after registering it if it does not exist yet."""
    credentials = {"email": EMAIL, "password": password}
    try:
        answer = client.call("POST", "/api/v1/auth/login", credentials)
    except ApiError as error:
        if error.status != 401:
            raise
        body = {**credentials, "display_name": DISPLAY_NAME}
        answer = client.call("POST", "/api/v1/auth/register", body)
    client.token = answer["access_token"]


def sign_up(client: Client) -> str:
    """Register a fresh account and log it in; its e-mail address."""
    email = f"visitor-{secrets.token_hex(6)}@easel.example"
    body = {"email": email, "password": secrets.token_urlsafe(18), "display_name": "Visitor"}
    client.token = client.call("POST", "/api/v1/auth/register", body)["access_token"]
    return email
