"""Somebody who calls an API."""

from typing import Any
from uuid import UUID, uuid4

import httpx

from libs.testkit.tokens import TokenIssuer


class Caller:
    """A client with the headers of one user."""

    def __init__(self, api: httpx.AsyncClient, headers: dict[str, str], user_id: UUID) -> None:
        self.api, self.headers, self.id = api, headers, user_id

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.api.get(path, params=query, headers=self.headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.api.post(path, json=body, headers={**self.headers, **headers})

    async def patch(self, path: str, body: Any) -> httpx.Response:
        return await self.api.patch(path, json=body, headers=self.headers)

    async def put(self, path: str, body: Any = None) -> httpx.Response:
        return await self.api.put(path, json=body, headers=self.headers)

    async def delete(self, path: str) -> httpx.Response:
        return await self.api.delete(path, headers=self.headers)


def new_caller(api: httpx.AsyncClient, issuer: TokenIssuer) -> Caller:
    """A user whom nobody has seen before, logged in."""
    user_id = uuid4()
    return Caller(api, issuer.headers(user_id), user_id)


async def walk(caller: Caller, path: str, **query: Any) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await caller.get(path, **query, **cursor)).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def named_fields(answer: httpx.Response) -> list[str]:
    """The fields that a 422 names."""
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "/problems/validation-failed"
    return [error["field"] for error in answer.json()["errors"]]


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and slug of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")
