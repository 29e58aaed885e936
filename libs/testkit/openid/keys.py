"""The provider's signing keys: the newest signs, the one before it is still published."""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

Algorithm = Literal["RS256", "ES256"]  # Google signs with the first


@dataclass(frozen=True)
class Key:
    """A private key, its id and its algorithm."""

    private: RSAPrivateKey | EllipticCurvePrivateKey
    algorithm: Algorithm
    key_id: str = field(default_factory=lambda: secrets.token_hex(20))

    def public_jwk(self) -> dict[str, Any]:
        """The public half as a JSON Web Key."""
        if isinstance(self.private, RSAPrivateKey):
            jwk = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        else:
            jwk = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        members = {k: v for k, v in jwk.items() if k not in ("key_ops",)}
        return {**members, "kid": self.key_id, "alg": self.algorithm, "use": "sig"}

    def sign(self, claims: dict[str, Any]) -> str:
        headers = {"kid": self.key_id, "typ": "JWT"}
        return jwt.encode(claims, self.private, algorithm=self.algorithm, headers=headers)


def make_key(algorithm: Algorithm) -> Key:
    """A fresh key."""
    if algorithm == "ES256":
        return Key(generate_ec_key(SECP256R1()), algorithm)
    return Key(generate_rsa_key(public_exponent=65537, key_size=2048), algorithm)


def unsigned(claims: dict[str, Any], key: Key) -> str:
    """The attack `alg: none`: no signature at all."""
    return f"{_encoded({'alg': 'none', 'kid': key.key_id, 'typ': 'JWT'})}.{_encoded(claims)}."


def signed_with_public_key(claims: dict[str, Any], key: Key) -> str:
    """The attack by key confusion: the public key, which everybody has, as an HMAC secret."""
    public = key.private.public_key()
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = {"alg": "HS256", "kid": key.key_id, "typ": "JWT"}
    text = f"{_encoded(head)}.{_encoded(claims)}"
    return f"{text}.{_base64(hmac.digest(secret, text.encode(), 'sha256'))}"


def signed_by_a_stranger(claims: dict[str, Any], key: Key) -> str:
    """A key that was never published, under the id of one that was."""
    return Key(make_key(key.algorithm).private, key.algorithm, key.key_id).sign(claims)


def half_hash(token: str) -> str:
    """`at_hash`: the left half of the SHA-256 (OpenID Connect Core 1.0, 3.1.3.6)."""
    return _base64(hashlib.sha256(token.encode()).digest()[:16])


def _encoded(members: dict[str, Any]) -> str:
    return _base64(json.dumps(members, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
