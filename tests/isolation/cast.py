"""The people of the walk: A, who owns one of everything, B, staff, and who may no longer enter."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

from libs.auth.api_keys import CACHE_SECONDS
from libs.auth.ended_logins import REFRESH_SECONDS, end_logins
from libs.auth.principals import SCOPES, Scope
from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from tests.isolation.expectations import Caller
from tests.isolation.operations import Operation
from tests.stack.people import (
    Person,
    access_token,
    add_session,
    api_key,
    bearer,
    from_somewhere,
    new_person,
    service_token,
)
from tests.stack.running import Stack
from tests.stack.services import SERVICES
from tests.stack.things import OTHERS, OWNED, PUBLIC, ask, make_thing

HOUR = timedelta(hours=1)
ALL = frozenset(SCOPES)
SCOPE_SETS = [ALL, *(frozenset({scope}) for scope in SCOPES), *(ALL - {scope} for scope in SCOPES)]


@dataclass(frozen=True)
class Cast:
    """Everybody whom the walk needs again and again.

    `things` are A's, by the path parameter that names each, `others` those in another state, by
    operation and parameter; `keys` are A's, by their scopes; `gone` are credentials that ended.
    """

    stack: Stack
    owner: Person
    stranger: Person
    things: Mapping[str, str]
    others: Mapping[tuple[str, str], str]
    keys: Mapping[frozenset[Scope], str]
    gone: Mapping[str, str]

    @property
    def marks(self) -> list[str]:
        """Texts that show that something is A's."""
        owned = (thing for name, thing in self.things.items() if name in OWNED)
        return [self.owner.email, *owned, *self.others.values()]

    def things_of(self, operation: Operation) -> dict[str, str]:
        """What of A's an operation is asked for."""
        return {
            name: self.others.get((operation.name, name)) or self.things[name]
            for name in operation.parameters
        }


def make_cast(stack: Stack) -> Cast:
    """People and things, put there; returns when every service has heard who may not enter."""
    owner = new_person(stack)
    things = {name: make_thing("", name, owner) for name in (*OWNED, *PUBLIC)}
    others = {place: make(owner) for place, make in OTHERS.items()}
    keys = {scopes: api_key(owner, list(scopes)).secret for scopes in SCOPE_SETS}
    gone = make_gone(owner, new_person(stack), new_person(stack, role="admin"))
    time.sleep(max(REFRESH_SECONDS, CACHE_SECONDS) + 0.2)
    return Cast(stack, owner, new_person(stack), things, others, keys, gone)


def make_gone(owner: Person, suspended: Person, admin: Person) -> dict[str, str]:
    """Credentials that were good, by the name of the caller who still shows them."""
    left = replace(owner, session_id=add_session(owner.stack, owner.id))
    owner.stack.run(end_login(left))
    ended_key, key = api_key(owner, SCOPES), api_key(suspended, SCOPES)
    owner.stack.sql("UPDATE ops.api_keys SET ended_at = now() WHERE id = :id", id=ended_key.id)
    path = f"/api/v1/admin/users/{suspended.id}"
    ask(admin, "user", "PATCH", path, {"suspended": True, "reason": "for the test"})
    return {
        "A's ended login": left.token,
        "A's expired token": access_token(owner, age=HOUR),
        "A's ended key": ended_key.secret,
        "A's expired key": api_key(owner, SCOPES, expires_in=-HOUR).secret,
        "a suspended user": suspended.token,
        "a suspended user's key": key.secret,
    }


async def end_login(person: Person) -> None:
    """End a login as the user service does."""
    async with transaction(person.stack.sessions("user"), person.id) as session:
        await end_logins(session, [person.session_id], now=utc_now())


def asker(caller: Caller, cast: Cast, owner: Person) -> Person:
    """Who the caller is: A, or somebody of the caller's role and plan."""
    if caller.is_owner:
        return owner
    return new_person(cast.stack, role=caller.role, tier="studio" if caller.has_keys else "free")


def credentials(caller: Caller, operation: Operation, cast: Cast, person: Person) -> dict[str, str]:
    """The headers with which a person asks."""
    if caller.kind == "nobody":
        return from_somewhere()
    if caller.kind == "ended":
        return bearer(cast.gone[caller.name])
    if caller.kind == "login":
        return person.headers
    if caller.kind == "key":
        return bearer(key_of(person, scopes_of(caller, operation), cast))
    return bearer(service_credentials(caller, operation, person))


def scopes_of(caller: Caller, operation: Operation) -> frozenset[Scope]:
    """What the caller's key may."""
    lacking = {operation.scope} if caller.lacks_one else set()
    return frozenset(caller.scopes) - lacking


def key_of(person: Person, scopes: frozenset[Scope], cast: Cast) -> str:
    """A key of somebody; A's are there already, since the walk compares all that is A's."""
    if person.id == cast.owner.id:
        return cast.keys[scopes]
    return api_key(person, list(scopes)).secret


def service_credentials(caller: Caller, operation: Operation, person: Person) -> str:
    """A token of one service for another, about a person."""
    listed = operation.callers[0] if operation.callers else "user"
    others = (name for name in SERVICES if name not in operation.callers)
    sender = listed if caller.is_listed else next(others)
    receivers = (name for name in SERVICES if name != operation.service)
    receiver = operation.service if caller.is_for_receiver else next(receivers)
    return service_token(person, caller=sender, receiver=receiver)


def unknown_things() -> dict[str, str]:
    """Names of what never was."""
    return {name: str(uuid4()) for name in OWNED}
