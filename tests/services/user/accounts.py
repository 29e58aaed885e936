"""What the tests of the user service do again and again."""

from typing import Any
from uuid import UUID

import httpx

from tests.services.callers import Caller

AUTH = "/api/v1/auth"
ME = "/api/v1/users/me"
ADA = {"email": "ada@example.com", "password": "correct horse battery", "display_name": "Ada"}
CREDENTIALS = {"email": ADA["email"], "password": ADA["password"]}


async def register(api: httpx.AsyncClient, **changes: str) -> dict[str, Any]:
    answer = await api.post(f"{AUTH}/register", json={**ADA, **changes})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def log_in(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.post(f"{AUTH}/login", json=CREDENTIALS)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def refresh(api: httpx.AsyncClient, token: str) -> httpx.Response:
    return await api.post(f"{AUTH}/refresh", json={"refresh_token": token})


def as_user(api: httpx.AsyncClient, registered: dict[str, Any]) -> Caller:
    headers = {"Authorization": f"Bearer {registered['access_token']}"}
    return Caller(api, headers, UUID(registered["user"]["id"]))
