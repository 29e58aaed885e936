"""The isolation walk: every operation of every service, asked by everybody.

What is expected comes from the declaration of the operation alone, so the matrix is complete by
construction, and a new route is walked without a line here.
"""

from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from services.studio.site_files import NOT_FOUND, read_site
from tests.isolation.cast import Cast, asker, credentials, unknown_things
from tests.isolation.expectations import CALLERS, Answer, Caller, expected
from tests.isolation.operations import Operation, all_operations, operations_of
from tests.isolation.requests import ask_for
from tests.isolation.rows import rows_of
from tests.stack.people import new_person
from tests.stack.running import Stack
from tests.stack.services import SERVICES
from tests.stack.things import BEFORE, OWNED, make_thing

DOOR = {"unauthorized", "forbidden", "login-required", "scope-missing"}
REFUSALS: dict[Answer, set[str]] = {
    "401": {"unauthorized", "invalid-signature"},
    "403": {"forbidden", "login-required", "scope-missing", "tier-required"},
}
# What shows nothing of anybody: health, measurements, and the documentation pages.
OPERATIONAL = {
    *("/healthz", "/readyz", "/metrics"),
    *("/openapi.json", "/docs", "/docs/assets/{name}"),
}
# Files, the same for everybody, and the page for what is not there.
PAGES = {"studio": read_site().keys() - {NOT_FOUND} | {"/{address:path}"}}
# Operations whose own rules refuse what the walk asks, once the door has let it in.
OWN_RULES: dict[str, set[str]] = {}


def slug_of(answer: httpx.Response) -> str:
    if answer.headers.get("content-type") != "application/problem+json":
        return ""
    return str(answer.json()["type"]).removeprefix("/problems/")


def is_as_expected(operation: Operation, wanted: Answer, answer: httpx.Response) -> bool:
    """Whether an answer is of the kind that the declaration promises."""
    if wanted == "404":
        return answer.status_code == 404
    if wanted != "enters":
        return answer.status_code == int(wanted) and slug_of(answer) in REFUSALS[wanted]
    if operation.who == "anyone":
        return slug_of(answer) not in DOOR and answer.status_code < 500
    return answer.is_success or slug_of(answer) in OWN_RULES.get(operation.name, set())


def cross(cast: Cast, operation: Operation, caller: Caller) -> str | None:
    """Ask once; what was wrong with the answer. Who may enter asks for what may be spent."""
    wanted = expected(operation, caller)
    owner, things = cast.owner, cast.things_of(operation)
    if wanted == "enters":
        owner = new_person(cast.stack)
        things = {name: make_thing(operation.name, name, owner) for name in operation.parameters}
    person = asker(caller, cast, owner)
    if wanted == "enters" and operation.name in BEFORE:
        BEFORE[operation.name](person)
    headers = credentials(caller, operation, cast, person)
    answer = ask_for(cast.stack, operation, things, headers, person)
    if not is_as_expected(operation, wanted, answer):
        said = "" if operation.streams and answer.is_success else answer.text
        return (
            f"{operation} asked by {caller.name}: wanted {wanted}, got {answer.status_code} {said}"
        )
    if not caller.is_owner and operation.who == "user":
        return leak(cast, operation, answer, f"{operation} asked by {caller.name}")
    return None


def leak(cast: Cast, operation: Operation, answer: httpx.Response, asked: str) -> str | None:
    """What of A's an answer shows, other than the address that was asked for."""
    if operation.streams and answer.is_success:
        return None
    said = answer.text.replace(operation.url(cast.things_of(operation)), "")
    shown = [mark for mark in cast.marks if mark in said]
    return f"{asked} shows {shown}" if shown else None


@pytest.mark.parametrize("service", SERVICES)
def test_everybody_is_answered_as_declared(stack: Stack, cast: Cast, service: str) -> None:
    wrong: list[str | None] = []
    for operation in operations_of(service, stack.apps[service]):
        before = rows_of(stack, cast.owner.id)
        wrong += [cross(cast, operation, caller) for caller in CALLERS]
        if rows_of(stack, cast.owner.id) != before:
            wrong.append(f"{operation} changed what is A's")
    failures = [line for line in wrong if line]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_somebody_elses_is_answered_as_what_never_was(
    stack: Stack, cast: Cast, service: str
) -> None:
    for operation in operations_of(service, stack.apps[service]):
        if operation.who == "user" and OWNED.keys() & set(operation.parameters):
            answers = [
                ask_for(stack, operation, things, cast.stranger.headers, cast.stranger)
                for things in (cast.things_of(operation), {**cast.things, **unknown_things()})
            ]
            assert answers[0].status_code == answers[1].status_code == 404, str(operation)
            assert slug_of(answers[0]) == slug_of(answers[1]) != "not-found"


def lists(stack: Stack) -> Iterator[Operation]:
    for operation in all_operations(stack.apps):
        is_list = operation.method == "GET" and operation.who == "user" and not operation.streams
        if is_list and not operation.parameters:
            yield operation


def test_lists_show_their_owner_what_they_show_nobody_else(stack: Stack, cast: Cast) -> None:
    shown = dict.fromkeys(("A", "B"), "")
    for operation in lists(stack):
        for name, person in (("A", cast.owner), ("B", cast.stranger)):
            shown[name] += ask_for(stack, operation, {}, person.headers, person).text
    # administrators alone see the first; the second are in the log of one webhook
    listed = OWNED.keys() - {"webhook_id", "delivery_id"}
    assert [name for name in listed if cast.things[name] not in shown["A"]] == []
    assert [mark for mark in cast.marks if mark in shown["B"]] == []


def test_no_route_is_outside_of_the_documents(stack: Stack) -> None:
    """What the documents do not show is the same in every service, and shows nothing of anybody."""
    for service, app in stack.apps.items():
        documented = {
            (operation.method, operation.path) for operation in operations_of(service, app)
        }
        hidden = {
            context.path
            for context in iter_route_contexts(app.routes)
            for method in context.methods or ()
            if (method, context.path) not in documented and method != "HEAD"
        }
        assert hidden == {*OPERATIONAL, *PAGES.get(service, ()), f"/openapi/{service}.json"}
