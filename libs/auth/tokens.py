"""Access tokens: JWT signed with ES256 or EdDSA, 15 minutes, verified by public keys (JWKS)."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
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

from libs.auth.principals import Principal

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
AUDIENCE = "easel-api"
TOKEN_TYPE = "at+jwt"  # RFC 9068: a refresh or identity token is never taken for an access token
ALGORITHMS = ("ES256", "EdDSA")
REQUIRED_CLAIMS = ("exp", "iat", "iss", "aud", "sub", "sid")


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
    key: SigningKey, *, issuer: str, user_id: UUID, session_id: UUID, role: str, now: datetime
) -> str:
    """A signed access token for one login session."""
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": str(user_id),
        "sid": str(session_id),
        "role": role,
        "iat": now,
        "exp": now + ACCESS_TOKEN_LIFETIME,
    }
    headers = {"kid": key.key_id, "typ": TOKEN_TYPE}
    return jwt.encode(claims, key.key, algorithm=key.algorithm, headers=headers)


def key_id_of(token: str) -> str:
    """The key id that a token names, unverified. Raises InvalidToken."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise InvalidToken(str(error)) from error
    if header.get("typ") != TOKEN_TYPE or header.get("alg") not in ALGORITHMS:
        raise InvalidToken("not an access token")
    return str(header.get("kid", ""))


def verify_access_token(token: str, key: jwt.PyJWK, *, issuer: str) -> Principal:
    """The principal of a valid token, checked with one public key. Raises InvalidToken."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=AUDIENCE,
            issuer=issuer,
            options={"require": list(REQUIRED_CLAIMS)},
        )
        return Principal(UUID(claims["sub"]), UUID(claims["sid"]), claims.get("role", "user"))
    except (jwt.PyJWTError, ValueError) as error:
        raise InvalidToken(str(error)) from error
