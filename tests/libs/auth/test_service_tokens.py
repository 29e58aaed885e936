"""Tokens between services: for one receiver, of one sender, about one user, for a minute."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest

from libs.auth.service_tokens import (
    SERVICE_TOKEN_LIFETIME,
    audience_of,
    issue_service_token,
    verify_service_token,
)
from libs.auth.tokens import CLOCKS_DIFFER, InvalidToken, sign
from libs.testkit.tokens import TokenIssuer

USER = uuid4()


def issue(
    by: TokenIssuer, changes: dict[str, str] | None = None, *, age: timedelta = timedelta()
) -> str:
    named = {"issuer": "easel", "service": "user", "audience": "gallery", **(changes or {})}
    now = datetime.now(UTC) - age
    return issue_service_token(by.key, user_id=USER, now=now, **named)


async def test_the_receiver_learns_for_whom(issuer: TokenIssuer) -> None:
    principal = await issuer.verifier().verify_service(
        issue(issuer), audience="gallery", callers=("user",)
    )
    assert principal.user_id == USER
    assert (principal.session_id, principal.key_id) == (None, None)


@pytest.mark.parametrize(
    "changes", [{"audience": "payment"}, {"issuer": "somebody"}, {"service": "studio"}]
)
async def test_another_receiver_issuer_or_sender(
    issuer: TokenIssuer, changes: dict[str, str]
) -> None:
    with pytest.raises(InvalidToken):
        await issuer.verifier().verify_service(
            issue(issuer, changes), audience="gallery", callers=("user",)
        )


async def test_after_a_minute(issuer: TokenIssuer) -> None:
    token = issue(issuer, age=SERVICE_TOKEN_LIFETIME + CLOCKS_DIFFER + timedelta(seconds=1))
    with pytest.raises(InvalidToken, match="expired"):
        await issuer.verifier().verify_service(token, audience="gallery", callers=("user",))


async def test_an_access_token_is_none_and_none_is_an_access_token(issuer: TokenIssuer) -> None:
    access = issuer.headers(USER)["Authorization"].removeprefix("Bearer ")
    with pytest.raises(InvalidToken, match="not of type"):
        await issuer.verifier().verify_service(access, audience="gallery", callers=("user",))
    with pytest.raises(InvalidToken, match="not of type"):
        await issuer.verifier().verify(issue(issuer))


def test_a_user_id_that_is_none(issuer: TokenIssuer) -> None:
    now = datetime.now(UTC)
    claims = {"iss": "easel", "aud": audience_of("gallery"), "sub": "service:user"}
    token = sign(
        issuer.key,
        {**claims, "user_id": "everybody", "iat": now, "exp": now + timedelta(seconds=9)},
        "service+jwt",
    )
    key = jwt.PyJWK(issuer.key.public_jwk())
    with pytest.raises(InvalidToken, match="malformed"):
        verify_service_token(token, key, issuer="easel", audience="gallery", callers=("user",))
