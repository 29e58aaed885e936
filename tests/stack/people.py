"""People of the platform, with a role and a plan, and what they show at the door."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import jwt

from libs.auth.api_keys import hash_api_key, make_api_key
from libs.auth.passwords import HASHER
from libs.auth.principals import Role, Scope
from libs.auth.service_tokens import issue_service_token
from libs.auth.signing_keys import SigningKeys
from libs.auth.tokens import SigningKey, issue_access_token
from libs.credits.free_grants import open_account_with_a_free_month
from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.kernel.ids import new_id
from libs.tiers.catalogue import TierName
from tests.stack.running import Stack

ISSUER = "easel"
NO_TIME = timedelta()
TEST_NETWORK = int(IPv4Address("198.18.0.0"))  # /15, for tests of devices (RFC 2544)
PASSWORD = "correct horse battery"
PASSWORD_HASH = HASHER.hash(PASSWORD)
ADD_USER = """
    INSERT INTO identity.users
        (id, email, display_name, password_hash, role, created_at, email_verified_at)
    VALUES (:id, :email, 'Ada', :hash, :role, now(), now())
"""
ADD_SESSION = """
    INSERT INTO identity.sessions (id, user_id, created_at, refreshed_at)
    VALUES (:id, :user, now(), now())
"""
ADD_KEY = """
    INSERT INTO ops.api_keys (id, user_id, name, prefix, key_hash, scopes, created_at, expires_at)
    VALUES (:id, :user, 'test', :prefix, :hash, :scopes, now() - interval '1 day', :expires_at)
"""


@dataclass(frozen=True)
class Person:
    """Somebody with an account and a login session."""

    stack: Stack = field(repr=False)
    id: UUID
    session_id: UUID
    role: Role
    tier: TierName

    @property
    def email(self) -> str:
        return email_of(self.id)

    @property
    def token(self) -> str:
        """An access token of a login of this moment."""
        return access_token(self)

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.token)


def from_somewhere() -> dict[str, str]:
    """The gateway's word that a request came from an address of its own, so that the limits of
    addresses count it apart."""
    return {"X-Forwarded-For": str(IPv4Address(TEST_NETWORK + secrets.randbelow(2**17)))}


def bearer(credentials: str) -> dict[str, str]:
    """The headers of a caller who shows credentials."""
    return {"Authorization": f"Bearer {credentials}", **from_somewhere()}


def new_person(stack: Stack, *, role: Role = "user", tier: TierName = "studio") -> Person:
    """An account as registration leaves it, with a login session, put there at once."""
    user_id = new_id()
    stack.sql(ADD_USER, id=user_id, email=email_of(user_id), hash=PASSWORD_HASH, role=role)
    person = Person(stack, user_id, add_session(stack, user_id), role, tier)
    stack.sql(
        "INSERT INTO ops.entitlements (user_id, tier) VALUES (:id, :tier)", id=person.id, tier=tier
    )
    stack.run(open_account(stack, person.id))
    return person


def email_of(user_id: UUID) -> str:
    return f"{user_id}@example.com"


def add_session(stack: Stack, user_id: UUID) -> UUID:
    """A new login session of somebody."""
    session_id = new_id()
    stack.sql(ADD_SESSION, id=session_id, user=user_id)
    return session_id


async def open_account(stack: Stack, user_id: UUID) -> None:
    async with transaction(stack.apps["user"].state.sessions, user_id) as session:
        await open_account_with_a_free_month(session, user_id=user_id, now=utc_now())


def signing_key(stack: Stack) -> SigningKey:
    """The key that the user service signs with."""
    return SigningKeys(stack.signing_keys).current(utc_now())


def access_token(person: Person, *, age: timedelta = NO_TIME) -> str:
    """A token as the user service issues it, `age` ago."""
    return issue_access_token(
        signing_key(person.stack),
        issuer=ISSUER,
        user_id=person.id,
        session_id=person.session_id,
        role=person.role,
        tier=person.tier,
        now=utc_now() - age,
    )


def service_token(person: Person, *, caller: str, receiver: str, age: timedelta = NO_TIME) -> str:
    """A token by which one service asks another on behalf of somebody."""
    return issue_service_token(
        signing_key(person.stack),
        issuer=ISSUER,
        service=caller,
        audience=receiver,
        user_id=person.id,
        now=utc_now() - age,
    )


@dataclass(frozen=True)
class Key:
    """An API key and what it is shown as."""

    id: UUID
    secret: str


def api_key(person: Person, scopes: Sequence[Scope], *, expires_in: timedelta | None = None) -> Key:
    """A new API key of somebody."""
    key = Key(new_id(), make_api_key())
    person.stack.sql(
        ADD_KEY,
        id=key.id,
        user=person.id,
        prefix=key.secret[:9],
        hash=hash_api_key(key.secret),
        scopes=list(scopes),
        expires_at=None if expires_in is None else utc_now() + expires_in,
    )
    return key


def resigned(token: str, key: SigningKey, claims: Mapping[str, Any] = {}, **header: Any) -> str:
    """A real token with other claims (None: left out) or header members, signed with a key."""
    old_header = jwt.get_unverified_header(token)
    old_claims = jwt.decode(token, options={"verify_signature": False})
    merged = {**old_claims, **claims}
    kept = {name: value for name, value in merged.items() if value is not None}
    return jwt.encode(kept, key.key, algorithm=key.algorithm, headers={**old_header, **header})
