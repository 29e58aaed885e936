"""The demo account: made over the public API, kept in the local secrets."""

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
        answer = answer.get("tokens", answer)
    client.token = answer["access_token"]
