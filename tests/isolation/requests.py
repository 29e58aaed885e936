"""What the walk asks of each operation: bodies that the operation would accept."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import httpx

from tests.isolation.operations import Operation
from tests.stack.people import Person
from tests.stack.running import Stack

# Where the document's example would meet what is there already, or names what is not there.
BODIES: Mapping[str, Callable[[Person], Any]] = {
    "delete_account": lambda person: {"confirm": person.email},
    "create_board": lambda _: {"name": f"Board {uuid4()}"},
    "rename_board": lambda _: {"name": f"Board {uuid4()}"},
    "assign_webhook": lambda person: {"user_id": str(person.id)},
    "create_webhook": lambda _: {"url": "https://93.184.215.14/hook"},
    "preview_change": lambda _: {"plan": "studio", "interval": "month"},
    "change_plan": lambda _: {"plan": "studio", "interval": "month"},
    "grant_credits": lambda person: {
        "user_id": str(person.id),
        "credits": "1",
        "kind": "admin",
        "reason": "for the test",
    },
}


def ask_for(
    stack: Stack,
    operation: Operation,
    things: Mapping[str, str],
    headers: Mapping[str, str],
    person: Person,
) -> httpx.Response:
    """One request of an operation, as a person sends it. Of a stream only the head is read."""
    make_body = BODIES.get(operation.name)
    request = stack.http.build_request(
        operation.method,
        stack.urls[operation.service] + operation.url(things),
        headers={"Idempotency-Key": str(uuid4()), **headers},
        json=make_body(person) if make_body else operation.example,
    )
    answer = stack.http.send(request, stream=operation.streams)
    if operation.streams and answer.is_success:
        answer.close()
    else:
        answer.read()
    return answer
