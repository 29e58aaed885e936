"""Attacks on access tokens, one test each."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from libs.auth.tokens import (
    AUDIENCE,
    InvalidToken,
    SigningKey,
    issue_access_token,
    key_id_of,
    load_signing_key,
    verify_access_token,
)

USER, SESSION = uuid4(), uuid4()


def pem_of(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(params=["ES256", "EdDSA"])
def key(request: pytest.FixtureRequest) -> SigningKey:
    if request.param == "ES256":
        return load_signing_key(pem_of(ec.generate_private_key(ec.SECP256R1())))
    return load_signing_key(pem_of(ed25519.Ed25519PrivateKey.generate()))


def issue(key: SigningKey, *, issuer: str = "easel", age: timedelta = timedelta()) -> str:
    now = datetime.now(UTC) - age
    return issue_access_token(
        key, issuer=issuer, user_id=USER, session_id=SESSION, role="user", now=now
    )


def verify(token: str, key: SigningKey) -> Any:
    key_id_of(token)
    return verify_access_token(token, jwt.PyJWK(key.public_jwk()), issuer="easel")[0]


def test_a_good_token_names_its_user(key: SigningKey) -> None:
    token = issue(key)
    principal = verify(token, key)
    assert (principal.user_id, principal.session_id, principal.role) == (USER, SESSION, "user")
    assert key_id_of(token) == key.key_id


def test_expired(key: SigningKey) -> None:
    with pytest.raises(InvalidToken, match="expired"):
        verify(issue(key, age=timedelta(minutes=16)), key)


def test_a_verifier_may_be_a_little_behind_the_issuer(key: SigningKey) -> None:
    assert verify(issue(key, age=timedelta(seconds=-2)), key).user_id == USER
    with pytest.raises(InvalidToken, match="not yet valid"):
        verify(issue(key, age=timedelta(seconds=-30)), key)


def test_signed_by_another_key(key: SigningKey) -> None:
    other = load_signing_key(pem_of(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(InvalidToken):
        verify(issue(other), key)


def test_wrong_issuer(key: SigningKey) -> None:
    with pytest.raises(InvalidToken, match="issuer"):
        verify(issue(key, issuer="somebody"), key)


def forge(key: SigningKey, claims: dict[str, Any], **header: str) -> str:
    now = datetime.now(UTC)
    base = {
        "iss": "easel",
        "aud": AUDIENCE,
        "sub": str(USER),
        "sid": str(SESSION),
        "role": "user",
        "tier": "free",
        "auth_time": int(now.timestamp()),
        "iat": now,
        "exp": now + timedelta(minutes=5),
    }
    headers = {"kid": key.key_id, "typ": "at+jwt", **header}
    merged = {name: value for name, value in {**base, **claims}.items() if value is not None}
    return jwt.encode(merged, key.key, algorithm=key.algorithm, headers=headers)


def test_forged_claims_are_otherwise_good(key: SigningKey) -> None:
    assert verify(forge(key, {}), key).user_id == USER


def test_wrong_audience(key: SigningKey) -> None:
    with pytest.raises(InvalidToken, match="[Aa]udience"):
        verify(forge(key, {"aud": "somewhere"}), key)


def test_another_type_of_token(key: SigningKey) -> None:
    with pytest.raises(InvalidToken, match="not of type"):
        verify(forge(key, {}, typ="JWT"), key)


@pytest.mark.parametrize(
    "claim", ["exp", "sub", "sid", "aud", "iss", "iat", "role", "tier", "auth_time"]
)
def test_a_missing_claim(key: SigningKey, claim: str) -> None:
    with pytest.raises(InvalidToken):
        verify(forge(key, {claim: None}), key)


def test_a_user_id_that_is_none(key: SigningKey) -> None:
    with pytest.raises(InvalidToken):
        verify(forge(key, {"sub": "admin"}), key)


def test_algorithm_none(key: SigningKey) -> None:
    token = jwt.encode({"sub": str(USER)}, "", algorithm="none", headers={"typ": "at+jwt"})
    with pytest.raises(InvalidToken):
        verify(token, key)


def test_key_confusion_with_a_shared_secret(key: SigningKey) -> None:
    secret = str(key.public_jwk()["x"]).ljust(64, "=")
    headers = {"typ": "at+jwt", "kid": key.key_id}
    token = jwt.encode({"sub": str(USER)}, secret, algorithm="HS256", headers=headers)
    with pytest.raises(InvalidToken):
        verify(token, key)


@pytest.mark.parametrize("token", ["", "a.b.c", "not a token", "é" * 20])
def test_no_token_at_all(key: SigningKey, token: str) -> None:
    with pytest.raises(InvalidToken):
        verify(token, key)
