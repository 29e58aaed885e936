"""Attacks on tokens, one test each, on running services: a forged token opens no door."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libs.auth.keys import MAX_TOKEN_LENGTH
from libs.auth.signing_keys import SigningKeys, make_signing_key
from libs.kernel.clock import utc_now
from tests.isolation.doors import DOORS, encode, refused, show
from tests.stack.people import (
    PASSWORD,
    Person,
    access_token,
    bearer,
    new_person,
    resigned,
    service_token,
    signing_key,
)
from tests.stack.running import Stack

INTERNAL = "/internal/v1/users/{}/export"
HOUR = timedelta(hours=1)


@pytest.fixture
def ada(stack: Stack) -> Person:
    return new_person(stack)


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Header, claims and signature of a token."""
    header, claims, signature = token.split(".")
    return jwt.get_unverified_header(token), decode(claims), signature


def decode(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def hmac_token(header: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes) -> str:
    """A token whose MAC is made with whatever the attacker has: PyJWT refuses public keys."""
    signed = f"{encode(header)}.{encode(claims)}"
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(signed.encode())
    return f"{signed}.{encode(mac.finalize())}"


def test_a_real_token_opens_every_door_and_so_does_one_signed_again(ada: Person) -> None:
    """The control of all attacks below: what they change is what is refused."""
    assert show(ada.stack, ada.token) == [200, 200]
    assert show(ada.stack, resigned(ada.token, signing_key(ada.stack))) == [200, 200]


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_algorithm_none(ada: Person, name: str, signature: str) -> None:
    header, claims, _ = parts_of(ada.token)
    token = f"{encode({**header, 'alg': name})}.{encode(claims)}.{signature}"
    assert refused(ada.stack, token)


def public_pem(stack: Stack) -> bytes:
    public = signing_key(stack).key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_jwk(stack: Stack) -> dict[str, Any]:
    """The key as the issuer publishes it."""
    path = "/api/v1/auth/.well-known/jwks.json"
    keys: list[dict[str, Any]] = stack.call("user", "GET", path, headers={}).json()["keys"]
    return keys[0]


SHARED: Mapping[str, Callable[[Stack], bytes]] = {
    "PEM": public_pem,
    "PEM without its last line break": lambda stack: public_pem(stack).rstrip(),
    "JWK": lambda stack: json.dumps(public_jwk(stack)).encode(),
    "JWK, compact": lambda stack: json.dumps(public_jwk(stack), separators=(",", ":")).encode(),
    "x": lambda stack: public_jwk(stack)["x"].encode(),
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("secret", SHARED)
def test_the_public_key_as_a_shared_secret(ada: Person, secret: str) -> None:
    header, claims, _ = parts_of(ada.token)
    key = SHARED[secret](ada.stack)
    assert refused(ada.stack, hmac_token({**header, "alg": "HS256"}, claims, key))


def test_expired(ada: Person) -> None:
    assert refused(ada.stack, access_token(ada, age=HOUR))


def test_not_yet_valid(ada: Person) -> None:
    soon = int((utc_now() + HOUR).timestamp())
    assert refused(ada.stack, resigned(ada.token, signing_key(ada.stack), {"nbf": soon}))


def test_issued_in_the_future(ada: Person) -> None:
    soon = int((utc_now() + HOUR).timestamp())
    assert refused(ada.stack, resigned(ada.token, signing_key(ada.stack), {"iat": soon}))


AUDIENCES: list[Any] = ["easel-internal:user", "somebody", "", ["easel-api", "somebody"], None]


@pytest.mark.parametrize("audience", AUDIENCES)
def test_wrong_audience(ada: Person, audience: Any) -> None:
    assert refused(ada.stack, resigned(ada.token, signing_key(ada.stack), {"aud": audience}))


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "easel ", "", None])
def test_wrong_issuer(ada: Person, issuer: str | None) -> None:
    assert refused(ada.stack, resigned(ada.token, signing_key(ada.stack), {"iss": issuer}))


@pytest.mark.parametrize("kind", ["JWT", "service+jwt", "rt+jwt", "AT+JWT", "", None])
def test_another_type(ada: Person, kind: str | None) -> None:
    """An ID token, a service token, a refresh token as JWT: all signed with the right key."""
    assert refused(ada.stack, resigned(ada.token, signing_key(ada.stack), typ=kind))


def test_a_service_token_as_an_access_token(ada: Person) -> None:
    assert refused(ada.stack, service_token(ada, caller="user", receiver="gallery"))


def ask_inside(stack: Stack, person: Person, token: str) -> httpx.Response:
    """A route between services: the gallery's export of a user's data."""
    path = INTERNAL.format(person.id)
    return stack.call("gallery", "GET", path, headers=bearer(token))


def test_an_access_token_as_a_service_token(stack: Stack, ada: Person) -> None:
    good = service_token(ada, caller="user", receiver="gallery")
    assert ask_inside(stack, ada, good).status_code == 200
    as_service = {"aud": "easel-internal:gallery", "user_id": str(ada.id), "sub": "service:user"}
    for token in (ada.token, resigned(ada.token, signing_key(stack), as_service)):
        assert ask_inside(stack, ada, token).status_code == 401


def test_a_service_token_that_is_too_old(stack: Stack, ada: Person) -> None:
    old = service_token(ada, caller="user", receiver="gallery", age=timedelta(minutes=2))
    assert ask_inside(stack, ada, old).status_code == 401


@pytest.mark.parametrize(
    "key_id", ["../../../../etc/passwd", "http://127.0.0.1:1/keys.json", "' OR 1=1 --", "", 7, None]
)
def test_a_key_id_that_points_elsewhere(ada: Person, key_id: Any) -> None:
    header, claims, signature = parts_of(ada.token)
    if key_id is None:
        header.pop("kid")
    else:
        header["kid"] = key_id
    assert refused(ada.stack, f"{encode(header)}.{encode(claims)}.{signature}")


@pytest.mark.parametrize("member", ["jku", "x5u", "jwk", "x5c"])
def test_a_key_in_the_header(ada: Person, member: str, tmp_path: Any) -> None:
    """The attacker's own key, offered in the header under the id of the real one."""
    make_signing_key(tmp_path, utc_now())
    own = SigningKeys(tmp_path).current(utc_now())
    offered: dict[str, Any] = {
        "jku": "http://127.0.0.1:1/keys.json",
        "x5u": "http://127.0.0.1:1/chain.pem",
        "jwk": own.public_jwk(),
        "x5c": [encode(b"a certificate")],
    }
    assert refused(ada.stack, resigned(ada.token, own, **{member: offered[member]}))


def test_a_key_that_nobody_published(ada: Person, tmp_path: Any) -> None:
    make_signing_key(tmp_path, utc_now())
    own = SigningKeys(tmp_path).current(utc_now())
    assert refused(ada.stack, resigned(ada.token, own, kid=own.key_id))


@pytest.mark.parametrize("signature", ["", "AAAA", "A" * 86])
def test_a_signature_that_is_none(ada: Person, signature: str) -> None:
    assert refused(ada.stack, ada.token.rpartition(".")[0] + "." + signature)


def test_a_token_without_its_last_part(ada: Person) -> None:
    assert refused(ada.stack, ada.token.rpartition(".")[0])


def test_a_changed_signature(ada: Person) -> None:
    head, _, signature = ada.token.rpartition(".")
    other = "A" if signature[5] != "A" else "B"
    assert refused(ada.stack, f"{head}.{signature[:5]}{other}{signature[6:]}")


@pytest.mark.parametrize(
    "claims", [{"role": "admin"}, {"sub": str(uuid4())}, {"tier": "enterprise"}, {"exp": 2**40}]
)
def test_a_changed_claim(ada: Person, claims: dict[str, Any]) -> None:
    header, known, signature = parts_of(ada.token)
    assert refused(ada.stack, f"{encode(header)}.{encode({**known, **claims})}.{signature}")


@pytest.mark.parametrize("claim", ["role", "sub"])
def test_a_claim_twice_in_an_unsigned_body(ada: Person, claim: str) -> None:
    header, known, signature = parts_of(ada.token)
    body = json.dumps(known)[:-1] + f', "{claim}": "admin"}}'
    assert refused(ada.stack, f"{encode(header)}.{encode(body.encode())}.{signature}")


@pytest.mark.parametrize(
    "claims",
    [{"role": "root"}, {"role": ["admin"]}, {"sub": "admin"}, {"sid": None}, {"auth_time": "now"}],
)
def test_claims_that_the_issuer_never_writes(ada: Person, claims: dict[str, Any]) -> None:
    assert refused(ada.stack, resigned(ada.token, signing_key(ada.stack), claims))


def test_a_huge_token(ada: Person) -> None:
    """Signed by the right key, and refused by its length before anybody reads it."""
    huge = resigned(ada.token, signing_key(ada.stack), {"more": "x" * MAX_TOKEN_LENGTH})
    assert refused(ada.stack, huge)


@pytest.mark.parametrize("token", ["-", ".", "..", "a.b.c", "Bearer", "null", "eyJ.eyJ.eyJ"])
def test_what_is_no_token(stack: Stack, token: str) -> None:
    assert refused(stack, token)


def test_another_scheme(ada: Person) -> None:
    for name, path in DOORS:
        for scheme in ("Basic", "Token", "DPoP"):
            headers = {**ada.headers, "Authorization": f"{scheme} {ada.token}"}
            assert ada.stack.call(name, "GET", path, headers=headers).status_code == 401


def test_a_token_anywhere_but_in_its_header(ada: Person) -> None:
    for name, path in DOORS:
        for place in (f"{path}?access_token={ada.token}", f"{path}?token={ada.token}"):
            assert ada.stack.call(name, "GET", place, headers={}).status_code == 401
        cookie = {"Cookie": f"access_token={ada.token}; __Host-easel_refresh={ada.token}"}
        assert ada.stack.call(name, "GET", path, headers=cookie).status_code == 401


def test_a_refresh_token_as_an_access_token(stack: Stack, ada: Person) -> None:
    body = {"email": ada.email, "password": PASSWORD}
    tokens = stack.call("user", "POST", "/api/v1/auth/login", headers={}, body=body).json()
    assert show(stack, tokens["access_token"]) == [200, 200]
    assert refused(stack, tokens["refresh_token"])


def test_an_access_token_as_a_refresh_token(stack: Stack, ada: Person) -> None:
    body = {"refresh_token": ada.token}
    answer = stack.call("user", "POST", "/api/v1/auth/refresh", headers={}, body=body)
    assert answer.status_code in (401, 422)
