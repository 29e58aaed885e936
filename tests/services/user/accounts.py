"""What the tests of the user service do again and again."""

import re
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy import Row, text

from libs.db.engine import Sessions
from tests.services.callers import Caller

PUBLIC_URL = "https://easel.example"
AUTH = "/api/v1/auth"
ME = "/api/v1/users/me"
SESSIONS = "/api/v1/sessions"
ADA = {"email": "ada@example.com", "password": "correct horse battery", "display_name": "Ada"}
CREDENTIALS = {"email": ADA["email"], "password": ADA["password"]}
NEWEST = text("SELECT * FROM ops.emails WHERE recipient = :address ORDER BY id DESC LIMIT 1")


class UserApi(httpx.AsyncClient):
    """A client of the user service, who reads everybody's e-mails."""

    def __init__(self, app: FastAPI, admin: Sessions, address: str = "127.0.0.1") -> None:
        transport = httpx.ASGITransport(app, client=(address, 1))
        super().__init__(transport=transport, base_url="http://user")
        self.app, self.admin = app, admin

    async def newest_letter(self, address: str) -> Row[Any]:
        """The e-mail that was queued last for an address."""
        async with self.admin() as session:
            return (await session.execute(NEWEST, {"address": address})).one()

    async def token_for(self, address: str) -> str:
        """The token of the link in the newest e-mail."""
        return token_in((await self.newest_letter(address)).text)

    async def sql(self, statement: str, **values: Any) -> list[Row[Any]]:
        """Any statement, as the database's administrator."""
        async with self.admin.begin() as session:
            result: Any = await session.execute(text(statement), values)
            return list(result) if result.returns_rows else []


def token_in(letter: str) -> str:
    """The token of the one link with a token in an e-mail."""
    (token,) = re.findall(rf"{PUBLIC_URL}/[a-z-]+#token=([A-Za-z0-9_-]{{43}})\n", letter)
    return str(token)


async def ask_to_register(api: httpx.AsyncClient, **changes: str) -> str:
    """Register, and the token that comes by e-mail."""
    wanted = {**ADA, **changes}
    answer = await api.post(f"{AUTH}/register", json=wanted)
    assert answer.status_code == 202, answer.text
    assert isinstance(api, UserApi)
    return await api.token_for(wanted["email"].lower())


async def confirm(api: httpx.AsyncClient, token: str, password: str = "") -> httpx.Response:
    body = {"token": token, "password": password or ADA["password"]}
    return await api.post(f"{AUTH}/email/verify", json=body)


async def register(api: httpx.AsyncClient, **changes: str) -> dict[str, Any]:
    """A confirmed account, logged in."""
    token = await ask_to_register(api, **changes)
    answer = await confirm(api, token, {**ADA, **changes}["password"])
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def log_in(api: httpx.AsyncClient, **changes: str) -> dict[str, Any]:
    answer = await api.post(f"{AUTH}/login", json={**CREDENTIALS, **changes})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def refresh(api: httpx.AsyncClient, token: str) -> httpx.Response:
    return await api.post(f"{AUTH}/refresh", json={"refresh_token": token})


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def as_user(api: httpx.AsyncClient, registered: dict[str, Any]) -> Caller:
    return Caller(api, bearer(registered), UUID(registered["user"]["id"]))


async def make_staff(api: UserApi, role: str, name: str = "root") -> Caller:
    """Somebody with a role, logged in with it."""
    email = f"{name}@example.com"
    registered = await register(api, email=email, display_name=name)
    await api.sql(
        "UPDATE identity.users SET role = :role WHERE email = :email", role=role, email=email
    )
    return as_user(api, {**registered, **await log_in(api, email=email)})
