"""ID tokens: the claims that Google documents, and what each fault makes of them."""

from collections.abc import Callable, Mapping
from typing import Any

from libs.testkit.oauth.grants import Grant
from libs.testkit.oauth.people import Person
from libs.testkit.openid.keys import (
    Key,
    half_hash,
    signed_by_a_stranger,
    signed_with_public_key,
    unsigned,
)

ID_TOKEN_SECONDS = 3600
Claims = dict[str, Any]


def subject_of(person: Person) -> str:
    """21 digits, as Google's are."""
    return f"1{person.number:020d}"


def profile_of(person: Person, scopes: tuple[str, ...]) -> Claims:
    """What the scopes `email` and `profile` show of a person."""
    given, _, family = person.name.partition(" ")
    names = {"name": person.name, "given_name": given, "family_name": family}
    shown: Claims = {"sub": subject_of(person)}
    if "email" in scopes:
        shown |= {"email": person.email, "email_verified": person.verified}
    if "profile" in scopes:
        shown |= {name: value for name, value in names.items() if value}
    return shown


def claims_of(grant: Grant, issuer: str, now: int) -> Claims:
    """The claims of a sign-in (OpenID Connect Core 1.0, 2; docs/sign-in-providers.md)."""
    client_id = grant.asked.client_id
    nonce = {"nonce": grant.asked.nonce} if grant.asked.nonce else {}
    return {
        "iss": issuer,
        "azp": client_id,
        "aud": client_id,
        **profile_of(grant.person, grant.asked.scopes),
        "at_hash": half_hash(grant.access_token),
        **nonce,
        "iat": now,
        "exp": now + ID_TOKEN_SECONDS,
    }


def _without(claims: Claims, *names: str) -> Claims:
    return {name: value for name, value in claims.items() if name not in names}


CLAIM_FAULTS: Mapping[str, Callable[[Claims], Claims]] = {
    "email_not_verified": lambda c: {**c, "email_verified": False},
    "no_email": lambda c: _without(c, "email", "email_verified"),
    "verification_unsaid": lambda c: _without(c, "email_verified"),
    "wrong_nonce": lambda c: {**c, "nonce": "of-another-sign-in"},
    "no_nonce": lambda c: _without(c, "nonce"),
    "expired": lambda c: {**c, "iat": c["iat"] - 7200, "exp": c["iat"] - 3600},
    "no_expiry": lambda c: _without(c, "exp"),
    "wrong_audience": lambda c: {**c, "aud": "another-client"},
    "wrong_party": lambda c: {**c, "azp": "another-client"},
    "wrong_issuer": lambda c: {**c, "iss": "https://issuer.example"},
    "wrong_at_hash": lambda c: {**c, "at_hash": half_hash("another token")},
    "no_subject": lambda c: _without(c, "sub"),
}
SIGNATURE_FAULTS: Mapping[str, Callable[[Claims, Key], str]] = {
    "alg_none": unsigned,
    "key_confusion": signed_with_public_key,
    "forged": signed_by_a_stranger,
}
FAULTS = (*CLAIM_FAULTS, *SIGNATURE_FAULTS, "no_id_token")


def id_token(grant: Grant, key: Key, issuer: str, now: int, fault: str) -> str:
    """The signed token, with the fault that a test asked for."""
    claims = claims_of(grant, issuer, now)
    if fault in CLAIM_FAULTS:
        claims = CLAIM_FAULTS[fault](claims)
    return SIGNATURE_FAULTS[fault](claims, key) if fault in SIGNATURE_FAULTS else key.sign(claims)
