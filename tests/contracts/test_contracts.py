"""Every service keeps what its OpenAPI document says, whatever it is sent.

EASEL_CONTRACT_EXAMPLES: requests an operation and kind (a night may afford hundreds).
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from libs.auth.principals import Role
from tests.stack.people import Person, bearer, new_person, service_token
from tests.stack.running import Stack
from tests.stack.services import SERVICES
from tests.stack.things import ask, make_thing

TOO_LARGE = (413, 431)  # before anybody looks for what else is wrong


def is_trimmed(body: Any) -> bool:
    """Whether spaces around a text are dropped before its length is judged."""
    texts = body.values() if isinstance(body, dict) else ()
    return any(isinstance(text, str) and text != text.strip() for text in texts)


def wrong_data_is_refused(context: Any, response: Any, case: Any) -> bool | None:
    """Schemathesis' own check, apart from what a JSON schema cannot say."""
    if response.status_code in TOO_LARGE or is_trimmed(case.body):
        return None
    return checks.negative_data_rejection(context, response, case)


EXAMPLES = int(os.environ.get("EASEL_CONTRACT_EXAMPLES", "12"))
# Callers show what they must, and a query may say more than is read.
CONFIG = {"generation": {"allow-extra-parameters": False, "with-security-parameters": False}}
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    wrong_data_is_refused,
]
CASES = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def operations(stack: Stack, service: str) -> Iterator[Any]:
    """Every operation of a service's document."""
    document = stack.apps[service].openapi()
    schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(CONFIG))
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), "the document itself is broken"
        yield result.ok()


def is_stream(operation: Any) -> bool:
    """Whether it answers events, which take their time."""
    return "text/event-stream" in str(operation.definition.raw["responses"])


def own_things(service: str, operation: Any, person: Person) -> dict[str, str]:
    """Path parameters that name what the person has; of a job whose events end."""
    names = [parameter.name for parameter in operation.path_parameters]
    things = {
        name: make_thing(operation.definition.raw["operationId"], name, person) for name in names
    }
    if is_stream(operation) and "generation_id" in things:
        ask(person, service, "POST", f"/api/v1/generations/{things['generation_id']}/cancel")
    return things


def credentials(service: str, operation: Any, person: Person) -> dict[str, str]:
    """What the operation asks its callers for."""
    access = operation.definition.raw["x-access"]
    if access["who"] != "service":
        return person.headers
    return bearer(service_token(person, caller=access["services"][0], receiver=service))


def break_contract(
    operation: Any, url: str, headers: dict[str, str], mode: GenerationMode, things: dict[str, str]
) -> str | None:
    """The smallest request found that breaks the contract, and how; None: it is kept."""

    @settings(CASES, max_examples=2 if is_stream(operation) else EXAMPLES)
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=things or None))
    def run(case: Any) -> None:
        case.call_and_validate(base_url=url, headers=headers, checks=CHECKS, timeout=20)

    try:
        run()
    except Unsatisfiable:
        return None  # an operation that takes nothing cannot be asked wrongly
    except FailureGroup as failures:
        return f"{operation.label}, {mode.value} data: {failures}"
    return None


@pytest.mark.parametrize("role", ["user", "admin"])
@pytest.mark.parametrize("service", SERVICES)
def test_every_answer_is_as_the_document_says(stack: Stack, service: str, role: Role) -> None:
    broken = []
    for operation in operations(stack, service):
        for mode in GenerationMode:
            for is_own in (False, True) if operation.path_parameters else (False,):
                person = new_person(stack, role=role)
                things = own_things(service, operation, person) if is_own else {}
                headers = credentials(service, operation, person)
                broken.append(break_contract(operation, stack.urls[service], headers, mode, things))
    failures = [failure for failure in broken if failure]
    assert not failures, "\n\n".join(failures)
