"""How to make one thing of somebody's for each path parameter of the API.

An operation with a path parameter that is missing here fails the isolation walk, so that every new
route is covered.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from libs.credits.ledger import settle_hold
from libs.db.transaction import transaction
from libs.kernel.ids import new_id
from services.payment.desk import Desk
from services.payment.inbox_worker import apply_pending
from tests.services.gallery.worker import Worker
from tests.services.generation.queue_of_jobs import give_credits
from tests.stack.people import Person, api_key

GENERATION = {"model": "demo", "prompt": "a red apple", "width": 64, "height": 64, "steps": 1}
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
LINKED = """
    INSERT INTO identity.identities
        (id, user_id, provider, subject, email, created_at, last_used_at)
    VALUES (:id, :user, 'google', :subject, 'ada@example.com', now(), now())
"""
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


def failed_job(person: Person) -> str:
    """A job that was given up, as the sweeper leaves it: its credits are free again."""
    job = generation(person)
    for change in (
        "state = 'running', attempt = 1, worker = 'test', started_at = now()",
        "state = 'failed', captured_millicredits = 0, finished_at = now()",
    ):
        person.stack.sql(f"UPDATE generation.jobs SET {change} WHERE id = :id", id=job)
    person.stack.run(settle(person, UUID(job)))
    return job


async def settle(person: Person, job: UUID) -> None:
    async with transaction(person.stack.sessions("worker"), person.id) as session:
        await settle_hold(session, user_id=person.id, hold_id=job, captured=0)


def image(person: Person) -> str:
    """A finished picture, as a worker leaves it."""
    stack = person.stack
    return stack.run(Worker(stack.sessions("worker"), stack.store).add(person.id))


def board(person: Person) -> str:
    name = {"name": f"Fruit {new_id()}"}
    return str(ask(person, "gallery", "POST", "/api/v1/boards", name)["id"])


def login_session(person: Person) -> str:
    return str(person.session_id)


def key(person: Person) -> str:
    return str(api_key(person, ["images:read"]).id)


def identity(person: Person) -> str:
    """An account at a provider that opens somebody's account here."""
    identity_id = new_id()
    person.stack.sql(LINKED, id=identity_id, user=person.id, subject=str(identity_id))
    return str(identity_id)


def webhook(person: Person) -> str:
    """A customer webhook; nothing calls it here."""
    place = {"url": f"https://93.184.215.14/{new_id()}"}
    return str(ask(person, "generation", "POST", "/api/v1/webhooks", place)["id"])


def delivery(person: Person) -> str:
    """A message to the newest of the person's webhooks."""
    (newest, *_) = ask(person, "generation", "GET", "/api/v1/webhooks")["items"]
    place = f"/api/v1/webhooks/{newest['id']}/test"
    return str(ask(person, "generation", "POST", place)["id"])


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


def upload(person: Person) -> str:
    """A picture that was sent and waits to be completed."""
    body = {"content_type": "image/png", "bytes": len(PIXEL)}
    begun = ask(person, "gallery", "POST", "/api/v1/images/uploads", body)
    target = begun["upload"]
    sent = person.stack.http.put(target["url"], content=PIXEL, headers=target["headers"])
    assert sent.is_success, sent.text
    return str(begun["id"])


def subscribe(person: Person) -> None:
    """A plan, bought at the provider's double, which tells of it."""
    state, provider = person.stack.apps["payment"].state, person.stack.provider
    order = {"plan": "pro", "interval": "month"}
    page = ask(person, "payment", "POST", "/api/v1/payments/checkout", order)

    async def pay() -> None:
        await provider.pay(page["checkout_url"])
        await provider.idle()
        await apply_pending(Desk(state.billing_sessions, state.shelf, state.clock))

    person.stack.run(pay())


def subscribe_and_cancel(person: Person) -> None:
    subscribe(person)
    ask(person, "payment", "POST", "/api/v1/subscriptions/current/cancel")


def ask_for_an_archive(person: Person) -> None:
    ask(person, "user", "POST", "/api/v1/users/me/export")


Make = Callable[[Person], str]
# What belongs to somebody, and what is there for everybody.
OWNED: Mapping[str, Make] = {
    "user_id": the_person,
    "generation_id": generation,
    "job_id": generation,
    "endpoint_id": webhook,
    "delivery_id": delivery,
    "image_id": image,
    "board_id": board,
    "webhook_id": stuck_webhook,
    "session_id": login_session,
    "identity_id": identity,
    "key_id": key,
}
PUBLIC: Mapping[str, Make] = {
    "name": official_model,
    "provider": lambda _: "google",
}


# Operations that want a thing in another state, by the operation and its parameter.
OTHERS: Mapping[tuple[str, str], Make] = {
    ("complete_upload", "image_id"): upload,
    ("requeue", "job_id"): failed_job,
}
# What has to be so before somebody may ask, apart from things that the path names.
BEFORE: Mapping[str, Callable[[Person], None]] = {
    "get_subscription_links": subscribe,
    "preview_change": subscribe,
    "change_plan": subscribe,
    "cancel_subscription": subscribe,
    "get_archive": ask_for_an_archive,
    "resume_subscription": subscribe_and_cancel,
}


def make_thing(operation: str, parameter: str, person: Person) -> str:
    """The value of an operation's path parameter: something of a person's. Raises KeyError."""
    make = OTHERS.get((operation, parameter)) or {**PUBLIC, **OWNED}[parameter]
    return make(person)
