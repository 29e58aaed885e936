"""Access tokens: JWT signed with ES256 or EdDSA, 15 minutes, verified by public keys (JWKS)."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from libs.auth.principals import Principal, Role
from libs.tiers.catalogue import DEFAULT_TIER, TierName

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
CLOCKS_DIFFER = timedelta(seconds=5)  # a verifier may be a little behind the issuer
AUDIENCE = "easel-api"
TOKEN_TYPE = "at+jwt"  # RFC 9068: a refresh or identity token is never taken for an access token
ALGORITHMS = ("ES256", "EdDSA")
REQUIRED_CLAIMS = ("exp", "iat", "iss", "aud", "sub", "sid", "role", "tier", "auth_time")


class InvalidToken(Exception):
    """A token that is not ours, not for us, expired or broken; the reason stays in the log."""


@dataclass(frozen=True)
class SigningKey:
    """A private key with the id that its public half has in the JWKS."""

    key: EllipticCurvePrivateKey | Ed25519PrivateKey
    key_id: str
    algorithm: str

    def public_jwk(self) -> dict[str, Any]:
        """The public half as a JSON Web Key."""
        if isinstance(self.key, Ed25519PrivateKey):
            jwk = OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        else:
            jwk = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {**jwk, "kid": self.key_id, "alg": self.algorithm, "use": "sig"}


def load_signing_key(pem: bytes) -> SigningKey:
    """A P-256 or Ed25519 private key from PEM; its id is the hash of its public half."""
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise ValueError("the signing key must be EC P-256 or Ed25519")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    algorithm = "EdDSA" if isinstance(key, Ed25519PrivateKey) else "ES256"
    return SigningKey(key, hashlib.sha256(public).hexdigest()[:16], algorithm)


def issue_access_token(
    key: SigningKey,
    *,
    issuer: str,
    user_id: UUID,
    session_id: UUID,
    now: datetime,
    role: Role = "user",
    tier: TierName = DEFAULT_TIER,
    authenticated_at: datetime | None = None,
) -> str:
    """A signed access token for one login session.

    `authenticated_at` is when the login proved who it is (the claim `auth_time`); now by default.
    """
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": str(user_id),
        "sid": str(session_id),
        "role": role,
        "tier": tier,
        "auth_time": int((authenticated_at or now).timestamp()),
        "jti": secrets.token_urlsafe(9),
        "iat": now,
        "exp": now + ACCESS_TOKEN_LIFETIME,
    }
    return sign(key, claims, TOKEN_TYPE)


def sign(key: SigningKey, claims: dict[str, Any], token_type: str) -> str:
    """A JWT in compact form, its header naming the key and the type."""
    headers = {"kid": key.key_id, "typ": token_type}
    return jwt.encode(claims, key.key, algorithm=key.algorithm, headers=headers)


def key_id_of(token: str, token_type: str = TOKEN_TYPE) -> str:
    """The key id that a token names, unverified. Raises InvalidToken."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise InvalidToken(str(error)) from error
    if header.get("typ") != token_type or header.get("alg") not in ALGORITHMS:
        raise InvalidToken(f"not of type {token_type}")
    return str(header.get("kid", ""))


def verified_claims(
    token: str, key: jwt.PyJWK, *, issuer: str, audience: str, required: tuple[str, ...]
) -> dict[str, Any]:
    """The claims of a token whose signature, times, issuer and audience are right.

    Raises InvalidToken.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=audience,
            issuer=issuer,
            leeway=CLOCKS_DIFFER,
            options={"require": list(required), "strict_aud": True},
        )
    except jwt.PyJWTError as error:
        raise InvalidToken(str(error)) from error
    return claims


def verify_access_token(token: str, key: jwt.PyJWK, *, issuer: str) -> tuple[Principal, datetime]:
    """The principal of a valid token and when it expires. Raises InvalidToken."""
    claims = verified_claims(token, key, issuer=issuer, audience=AUDIENCE, required=REQUIRED_CLAIMS)
    try:
        principal = Principal(
            user_id=UUID(claims["sub"]),
            session_id=UUID(claims["sid"]),
            role=known(claims["role"], get_args(Role)),
            tier=known(claims["tier"], get_args(TierName)),
            authenticated_at=datetime.fromtimestamp(claims["auth_time"], UTC),
        )
        return principal, datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, TypeError, OverflowError, OSError, AttributeError) as error:
        raise InvalidToken(f"malformed claims: {error}") from error


def known(value: Any, values: tuple[Any, ...]) -> Any:
    """A claim that must be one of some values. Raises ValueError."""
    if value not in values:
        raise ValueError(f"unknown value {value!r}")
    return value
