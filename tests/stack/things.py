"""How to make one thing of somebody's for each path parameter of the API.

An operation with a path parameter that is missing here fails the isolation walk, so that every new
route is covered.
"""

from collections.abc import Callable, Mapping
from typing import Any

from libs.kernel.ids import new_id
from tests.services.gallery.worker import Worker
from tests.services.generation.queue_of_jobs import give_credits
from tests.stack.people import Person

GENERATION = {"model": "demo", "prompt": "a red apple", "width": 64, "height": 64, "steps": 1}
STUCK = """
    INSERT INTO billing.inbox (id, event_name, subject, body, body_sha256, received_at, user_id,
        state, problem, next_try_at)
    VALUES (:id, 'order_created', 'orders:1', :body, sha256(:body), now(), :user, 'stuck',
        'unknown offer', now())
"""


def ask(person: Person, service: str, method: str, path: str, body: Any = None) -> Any:
    """What a request of somebody answers, which succeeds."""
    answer = person.stack.call(service, method, path, headers=person.headers, body=body)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json()


def generation(person: Person) -> str:
    """A job that waits."""
    stack = person.stack
    stack.run(give_credits(stack.sessions("billing"), person.id, 100_000))
    return str(ask(person, "generation", "POST", "/api/v1/generations", GENERATION)["id"])


def image(person: Person) -> str:
    """A finished picture, as a worker leaves it."""
    stack = person.stack
    return stack.run(Worker(stack.sessions("worker"), stack.store).add(person.id))


def board(person: Person) -> str:
    name = {"name": f"Fruit {new_id()}"}
    return str(ask(person, "gallery", "POST", "/api/v1/boards", name)["id"])


def stuck_webhook(person: Person) -> str:
    """A webhook about somebody that waits for an administrator."""
    webhook_id = new_id()
    person.stack.sql(STUCK, id=webhook_id, user=person.id, body=str(webhook_id).encode())
    return str(webhook_id)


def official_model(_person: Person) -> str:
    """The model that ships with the platform; it is everybody's."""
    return "demo"


def the_person(person: Person) -> str:
    return str(person.id)


Make = Callable[[Person], str]
THINGS: Mapping[str, Make] = {
    "user_id": the_person,
    "generation_id": generation,
    "image_id": image,
    "board_id": board,
    "name": official_model,
    "webhook_id": stuck_webhook,
}


def make_thing(parameter: str, person: Person) -> str:
    """The value of a path parameter that names something of a person's."""
    return THINGS[parameter](person)
