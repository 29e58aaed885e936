"""How often the issuer is asked for its keys, and what holds while it is away."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from libs.auth.keys import TokenVerifier
from libs.auth.tokens import InvalidToken
from libs.kernel.problems import ServiceUnavailable
from libs.testkit.tokens import ISSUER, JWKS_URL, TokenIssuer


class CountedIssuer:
    """An issuer's application that counts its requests and can be away."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self.issuer, self.requests, self.is_away = issuer, 0, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        await asyncio.sleep(0.01)
        if self.is_away:
            raise httpx.ReadTimeout("nothing came")
        await self.issuer.app(scope, receive, send)

    def verifier(self, refresh_seconds: float) -> TokenVerifier:
        http = httpx.AsyncClient(transport=httpx.ASGITransport(self))
        return TokenVerifier(JWKS_URL, ISSUER, http, refresh_seconds=refresh_seconds)


@pytest.fixture
def counted(issuer: TokenIssuer) -> CountedIssuer:
    return CountedIssuer(issuer)


def token_of(issuer: TokenIssuer) -> str:
    return issuer.headers(uuid4())["Authorization"].removeprefix("Bearer ")


async def test_many_requests_at_once_ask_once(counted: CountedIssuer) -> None:
    verifier, token = counted.verifier(300), token_of(counted.issuer)
    await asyncio.gather(*(verifier.verify(token) for _ in range(20)))
    assert counted.requests == 1


async def test_old_keys_hold_while_the_issuer_is_away_and_it_is_not_asked_each_time(
    counted: CountedIssuer,
) -> None:
    verifier, token = counted.verifier(0), token_of(counted.issuer)
    await verifier.verify(token)
    counted.is_away = True
    for _ in range(5):
        await asyncio.gather(*(verifier.verify(token) for _ in range(5)))
    assert counted.requests == 2


async def test_without_any_key_the_issuer_is_not_asked_each_time_either(
    counted: CountedIssuer,
) -> None:
    counted.is_away = True
    verifier, token = counted.verifier(300), token_of(counted.issuer)
    answers = await asyncio.gather(
        *(verifier.verify(token) for _ in range(5)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {ServiceUnavailable}
    assert counted.requests == 1


async def test_a_flood_of_unknown_keys_asks_once(counted: CountedIssuer) -> None:
    verifier = counted.verifier(300)
    for _ in range(5):
        with pytest.raises(InvalidToken, match="unknown key"):
            await verifier.verify(token_of(TokenIssuer()))
    assert counted.requests == 1
