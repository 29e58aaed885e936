"""Who asks, and what the door answers: from the declaration of an operation alone."""

from dataclasses import dataclass
from typing import Literal

from libs.auth.principals import SCOPES, Role, Scope
from tests.isolation.operations import Operation
from tests.stack.things import OWNED, PUBLIC

# `enters`: the operation itself answers. `404`: it answers that the thing, somebody else's, does
# not exist. `401`, `403`: the door refuses.
Answer = Literal["enters", "404", "403", "401"]
Kind = Literal["nobody", "login", "key", "ended", "service"]
ROLES: dict[str, tuple[Role, ...]] = {
    "user": ("user", "support", "admin"),
    "support": ("support", "admin"),
    "admin": ("admin",),
}


@dataclass(frozen=True)
class Caller:
    """Who asks for what is A's.

    `is_owner`: it is A. A key has `scopes`; `lacks_one`: all of them but the one that is asked for.
    A service is one that the operation lists or not, and its token made for the receiver or not.
    """

    name: str
    kind: Kind
    role: Role = "user"
    is_owner: bool = False
    scopes: tuple[Scope, ...] = ()
    lacks_one: bool = False
    has_keys: bool = True
    is_listed: bool = True
    is_for_receiver: bool = True


NOBODY = Caller("nobody", "nobody")
OWNER = Caller("A", "login", is_owner=True)
STRANGER = Caller("B", "login")
SUPPORT = Caller("support", "login", role="support")
ADMIN = Caller("admin", "login", role="admin")
KEYS = tuple(
    Caller(f"A's key with {scope}", "key", is_owner=True, scopes=(scope,)) for scope in SCOPES
)
ENDED = (
    Caller("A's ended login", "ended", is_owner=True),
    Caller("A's expired token", "ended", is_owner=True),
    Caller("A's ended key", "ended", is_owner=True),
    Caller("A's expired key", "ended", is_owner=True),
    Caller("a suspended user", "ended"),
    Caller("a suspended user's key", "ended"),
)
SERVICE = Caller("a listed service, for A", "service", is_owner=True)
CALLERS: tuple[Caller, ...] = (
    NOBODY,
    OWNER,
    STRANGER,
    SUPPORT,
    ADMIN,
    *KEYS,
    Caller("A's key with all other scopes", "key", is_owner=True, scopes=SCOPES, lacks_one=True),
    Caller("B's key with all scopes", "key", scopes=SCOPES),
    Caller("admin's key with all scopes", "key", role="admin", scopes=SCOPES),
    Caller("a free user's key", "key", scopes=SCOPES, has_keys=False),
    *ENDED,
    SERVICE,
    Caller("a listed service, for B", "service"),
    Caller("a service that is not listed", "service", is_owner=True, is_listed=False),
    Caller("a token for another service", "service", is_owner=True, is_for_receiver=False),
)


def expected(operation: Operation, caller: Caller) -> Answer:
    """What the declaration promises this caller, who asks for what is A's."""
    if operation.who == "anyone":
        return "enters"
    if operation.who == "provider":
        return "401"  # nobody here can sign
    if operation.who == "service":
        return expected_of_service(operation, caller)
    if caller.kind in ("nobody", "ended", "service"):
        return "401"
    if not may_enter(operation, caller):
        return "403"
    is_strange = names_something_owned(operation) and not caller.is_owner
    return "404" if is_strange and operation.who == "user" else "enters"


def expected_of_service(operation: Operation, caller: Caller) -> Answer:
    """What a route between services answers."""
    if caller.kind != "service" or not caller.is_listed or not caller.is_for_receiver:
        return "401"
    return "enters" if caller.is_owner or not names_something_owned(operation) else "403"


def may_enter(operation: Operation, caller: Caller) -> bool:
    """Whether a verified caller passes: a login by its role, a key by its scopes."""
    if caller.kind == "key":
        return caller.has_keys and not caller.lacks_one and operation.scope in caller.scopes
    return caller.role in ROLES[operation.who]


def names_something_owned(operation: Operation) -> bool:
    """Whether the path names what belongs to somebody.

    Raises AssertionError for a parameter of which nobody has said so: see tests/stack/things.py.
    """
    unknown = set(operation.parameters) - OWNED.keys() - PUBLIC.keys()
    assert not unknown, f"{operation}: tell in tests/stack/things.py how to make one of {unknown}"
    return any(parameter in OWNED for parameter in operation.parameters)
