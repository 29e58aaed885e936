"""Runs a piece of billing in a process that kills itself before its n-th step.

A step is a statement to the database, or a commit. Reads orders from standard input, one JSON
object a line, and answers each with one: the step before which the process died, or null if it
got through. Each order runs in a fork, so that Python starts once.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db.engine import build_engine, build_sessions
from libs.db.transaction import transaction
from services.generation.models import Job
from services.generation.service.endings import finish_job
from services.payment import rounds
from services.payment.desk import Desk
from services.payment.inbox import read_event, receive
from services.payment.inbox_worker import apply_pending
from services.payment.offers import Shelf
from tests.services.payment.shop import VARIANTS

APPLICATION = "easel-steps"  # by which the test sees that the server has noticed a death


def die_before(engine: AsyncEngine, step: int, pipe: int) -> None:
    """Make the process kill itself right before its n-th statement or commit, and say which."""
    steps = iter(range(1, step))

    def reach(what: str) -> None:
        if next(steps, None) is None:
            os.write(pipe, " ".join(what.split())[:60].encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def on_statement(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        reach(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", on_statement)
    event.listen(engine.sync_engine, "commit", lambda _connection: reach("COMMIT"))


async def receive_webhook(desk: Desk, body: str, **_order: Any) -> None:
    """What the route does with a body whose signature fits."""
    async with desk.sessions.begin() as session:
        await receive(session, read_event(body.encode()), body.encode(), desk.clock())


async def apply_webhooks(desk: Desk, **_order: Any) -> None:
    """What the worker does when it is woken."""
    await apply_pending(desk)


async def give_month(desk: Desk, **_order: Any) -> None:
    """The worker's round of subscriptions."""
    await rounds.settle_due_users(desk)


async def give_free_month(desk: Desk, **_order: Any) -> None:
    """The worker's round of free months."""
    await rounds.grant_free_months(desk)


async def settle_job(desk: Desk, user: str, job: str, captured: int, **_order: Any) -> None:
    """The closing transaction of a job: its final state, capture, release, events."""
    async with transaction(desk.sessions, UUID(user)) as session:
        found = await session.get_one(Job, UUID(job))
        if found.state == "running":  # the next attempt asks first, too
            await finish_job(session, found, "succeeded", captured=captured)


PIECES: dict[str, Callable[..., Awaitable[None]]] = {
    piece.__name__: piece
    for piece in (receive_webhook, apply_webhooks, give_month, give_free_month, settle_job)
}


async def run(order: dict[str, Any], pipe: int) -> None:
    """One order, in the process that is to die."""
    engine = build_engine(order["url"], application=APPLICATION)
    die_before(engine, order["step"], pipe)
    now = datetime.fromisoformat(order["now"])
    desk = Desk(build_sessions(engine), Shelf(VARIANTS), lambda: now)
    await PIECES[order["piece"]](desk, **order)
    await engine.dispose()


def fork_and_wait(order: dict[str, Any]) -> str | None:
    """The step before which the fork died; None if it got through. Raises if it failed."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.run(run(order, writable))
        os._exit(0)
    os.close(writable)
    _, status = os.waitpid(child, 0)
    with os.fdopen(readable) as pipe:
        said = pipe.read()
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return said
    if status != 0:
        raise RuntimeError(f"the fork failed with status {status}")
    return None


def main() -> None:
    """Answer orders until standard input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(fork_and_wait(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
