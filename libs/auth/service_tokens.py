"""Tokens by which one service asks another for something on behalf of a user, for a minute.

They are signed by the platform's key, made for one receiver, and no access token passes for one.
"""

from datetime import datetime, timedelta
from uuid import UUID

import jwt

from libs.auth.principals import Principal
from libs.auth.tokens import InvalidToken, SigningKey, sign, verified_claims

SERVICE_TOKEN_TYPE = "service+jwt"
SERVICE_TOKEN_LIFETIME = timedelta(seconds=60)
REQUIRED_CLAIMS = ("exp", "iat", "iss", "aud", "sub", "user_id")


def audience_of(service: str) -> str:
    """The audience of tokens that a service takes from others."""
    return f"easel-internal:{service}"


def issue_service_token(
    key: SigningKey, *, issuer: str, service: str, audience: str, user_id: UUID, now: datetime
) -> str:
    """A token of `service` for the service `audience`, about one user."""
    claims = {
        "iss": issuer,
        "aud": audience_of(audience),
        "sub": f"service:{service}",
        "user_id": str(user_id),
        "iat": now,
        "exp": now + SERVICE_TOKEN_LIFETIME,
    }
    return sign(key, claims, SERVICE_TOKEN_TYPE)


def verify_service_token(
    token: str, key: jwt.PyJWK, *, issuer: str, audience: str, callers: tuple[str, ...]
) -> Principal:
    """The user for whom one of `callers` asks the service `audience`. Raises InvalidToken."""
    claims = verified_claims(
        token, key, issuer=issuer, audience=audience_of(audience), required=REQUIRED_CLAIMS
    )
    if claims["sub"] not in {f"service:{caller}" for caller in callers}:
        raise InvalidToken("this service may not ask for that")
    try:
        return Principal(user_id=UUID(claims["user_id"]))
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidToken(f"malformed claims: {error}") from error
