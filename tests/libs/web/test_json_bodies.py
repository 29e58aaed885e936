"""Odd bodies over a real server are the caller's mistake, never ours."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from libs.web.json_bodies import MAX_DEPTH
from tests.libs.web.served import serving


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with serving() as client:
        yield client


def nested(levels: int, inside: str = "") -> str:
    return '{"labels":' + "[" * (levels - 1) + inside + "]" * (levels - 1) + "}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (nested(MAX_DEPTH), 422),
        (nested(MAX_DEPTH + 1), 400),
        (nested(400_000), 400),
        ("[" * 900_000, 400),
        ("{" * 40 + "}" * 40, 400),
        ('{"text": "' + "[" * 1000 + '"}', 200),
        ('{"text": "' + '[\\"' * 1000 + '"}', 200),
        ('{"labels": {' + ",".join(f'"{n}": "[]"' for n in range(200)) + "}}", 200),
        ('{"text": "a\\u0000b"}', 422),
        ('{"labels": {"a": "\\u0000"}}', 422),
        ('{"text": "\\ud800"}', 400),
        ('{"text": "\\udc00"}', 400),
        ('{"text": "\\uD83D \\uDE00"}', 400),
        ('{"text": "\\ud83d\\\\\\ude00"}', 400),
        ('{"text": "\\\\ud83d\\ude00"}', 400),
        ('{"text": "\\ud83d\\ude00"}', 200),
        ('{"text": "\\\\ud800"}', 200),
        ('{"\\ud800": ""}', 400),
        ('{"number": NaN}', 422),
        ('{"number": -Infinity}', 422),
        ('{"number": 1e999}', 422),
        ('{"number": ' + "9" * 5000 + "}", 400),
        ("{", 422),
        ("", 422),
        ("null", 422),
    ],
)
async def test_odd_json_is_the_callers_mistake(
    http: httpx.AsyncClient, body: str, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/notes", content=body, headers=headers)
    assert answer.status_code == status, answer.text[:300]
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        json.loads(answer.text, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "piece", ['\\"', "\\", '"', "a", "\\u", "[", '["', "]"], ids=lambda piece: repr(piece)
)
async def test_no_body_takes_long_to_look_at(http: httpx.AsyncClient, piece: str) -> None:
    """A string that is never closed was tried anew from each of its quotes: hours for one body."""
    body = "[" * 40 + '"' + piece * (900_000 // len(piece))
    async with asyncio.timeout(10):
        answer = await http.post(
            "/notes", content=body, headers={"Content-Type": "application/json"}, timeout=10
        )
    assert answer.status_code == 400, answer.text[:300]


@pytest.mark.parametrize(
    "body", [b'{"text": "\xff"}', b"\xff\xfe{", b"\x00", b'{"\xed\xa0\x80": 1}']
)
async def test_text_that_is_no_utf8_is_the_callers_mistake(
    http: httpx.AsyncClient, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/notes", content=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text
