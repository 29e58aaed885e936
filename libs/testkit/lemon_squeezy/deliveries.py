"""Deliveries of webhook events: what is due, what was answered, what is held back.

A delivery counts when it is answered with status 200 and nothing else; any other answer is tried
again 5, 25 and 125 seconds after the attempt before, then never. Times are those of the books.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from libs.testkit.lemon_squeezy.books import Event

RETRY_SECONDS = (5.0, 25.0, 125.0)
KEPT = 200


@dataclass
class Attempt:
    """One request: `status` is None where no answer came; `problem` says why."""

    at: datetime
    status: int | None
    problem: str = ""


@dataclass
class Delivery:
    """One event on its way. `due_at` is None when nothing more will be sent."""

    id: int
    event: str
    body: str
    made_at: datetime
    due_at: datetime | None
    state: Literal["waiting", "held", "delivered", "failed"] = "waiting"
    attempts: list[Attempt] = field(default_factory=list)


@dataclass
class Outbox:
    """All deliveries, the newest `KEPT` of those that ended."""

    hold: bool = False
    retry_scale: float = 1.0
    next_id: int = 1
    deliveries: list[Delivery] = field(default_factory=list)


def enqueue(outbox: Outbox, events: Sequence[Event]) -> None:
    """Put events at the end; they wait for `release` while the outbox holds everything back."""
    for event in events:
        _append(outbox, event.name, event.body.decode(), event.at)
    ended = [d for d in outbox.deliveries if d.due_at is None]
    if len(ended) > KEPT:
        gone = {d.id for d in ended[: len(ended) - KEPT]}
        outbox.deliveries = [d for d in outbox.deliveries if d.id not in gone]


def _append(outbox: Outbox, event: str, body: str, at: datetime) -> Delivery:
    delivery = Delivery(outbox.next_id, event, body, at, at, "held" if outbox.hold else "waiting")
    outbox.next_id += 1
    outbox.deliveries.append(delivery)
    return delivery


def next_due(outbox: Outbox, now: datetime) -> Delivery | None:
    """The delivery to send now: the earliest due, then the earliest in the list."""
    due = [d for d in outbox.deliveries if d.state == "waiting" and d.due_at and d.due_at <= now]
    return min(due, key=lambda d: d.due_at or now, default=None)


def settle(outbox: Outbox, delivery: Delivery, attempt: Attempt) -> None:
    """Write down an attempt and what follows from it."""
    delivery.attempts.append(attempt)
    tried = len(delivery.attempts)
    if attempt.status == 200:
        delivery.state, delivery.due_at = "delivered", None
    elif tried > len(RETRY_SECONDS):
        delivery.state, delivery.due_at = "failed", None
    else:
        wait = timedelta(seconds=RETRY_SECONDS[tried - 1] * outbox.retry_scale)
        delivery.due_at = (delivery.due_at or attempt.at) + wait


def find_delivery(outbox: Outbox, delivery_id: int) -> Delivery:
    """Raises KeyError."""
    found = next((d for d in outbox.deliveries if d.id == delivery_id), None)
    if found is None:
        raise KeyError(delivery_id)
    return found


def release(outbox: Outbox, ids: Sequence[int] | None, now: datetime) -> list[Delivery]:
    """Let held deliveries go, in the order of `ids` (all, in their own order, without it)."""
    held = [d for d in outbox.deliveries if d.state == "held"]
    chosen = held if ids is None else [find_delivery(outbox, number) for number in ids]
    for delivery in chosen:
        outbox.deliveries.remove(delivery)
        outbox.deliveries.append(delivery)
        delivery.state, delivery.due_at = "waiting", now
    return chosen


def send_again(outbox: Outbox, delivery_id: int, now: datetime) -> Delivery:
    """The same bytes once more as a delivery of their own: a re-send or a duplicate."""
    first = find_delivery(outbox, delivery_id)
    copy = _append(outbox, first.event, first.body, now)
    copy.state = "waiting"
    return copy


def drop(outbox: Outbox, ids: Sequence[int]) -> None:
    """Never send these: a webhook that was lost."""
    for number in ids:
        delivery = find_delivery(outbox, number)
        delivery.state, delivery.due_at = "failed", None
