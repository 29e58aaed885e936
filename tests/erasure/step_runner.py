"""Runs the account worker's erasures in a process that kills itself before its n-th step.

A step is a statement to the database, a commit, or a question to another service and its answer.
Reads orders from standard input, one JSON object a line, and answers each with one: the step before
which the process died, or null if nothing was due any more. Each order runs in a fork.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import event

from libs.auth.signing_keys import SigningKeys
from libs.db.engine import build_engine, build_sessions
from libs.kernel.clock import utc_now
from libs.privacy.owners import Owner, ServiceTokens
from libs.storage.objects import ObjectStore
from libs.telemetry.logs import configure_logs
from services.user.account_desk import AccountDesk
from services.user.account_settings import AccountSettings
from services.user.erasing import erase_due

APPLICATION = "easel-erasing-steps"  # by which the test sees that the server has noticed a death
Reach = Callable[[str], None]


def killer(step: int, pipe: int) -> Reach:
    """Makes the process kill itself at the n-th step that it reaches, and say which."""
    steps = iter(range(1, step))

    def reach(what: str) -> None:
        if next(steps, None) is None:
            os.write(pipe, " ".join(what.split())[:60].encode())
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


def http_client(reach: Reach) -> httpx.AsyncClient:
    """A client before and after each of whose questions it is a step."""

    async def before(request: httpx.Request) -> None:
        reach(f"ask {request.method} {request.url.port}")

    async def after(response: httpx.Response) -> None:
        reach(f"hear {response.status_code}")

    return httpx.AsyncClient(event_hooks={"request": [before], "response": [after]})


async def erase(order: dict[str, Any], pipe: int) -> None:
    """Everything that is due, in the process that is to die."""
    settings = AccountSettings(**order["settings"])
    reach = killer(order["step"], pipe)
    engine = build_engine(settings.database_url, application=APPLICATION)

    def on_statement(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        reach(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", on_statement)
    event.listen(engine.sync_engine, "commit", lambda _connection: reach("COMMIT"))
    keys, http = SigningKeys(settings.signing_keys), http_client(reach)
    tokens = ServiceTokens("user", settings.token_issuer, lambda: keys.current(utc_now()), utc_now)
    moved = timedelta(seconds=order["later_seconds"])
    desk = AccountDesk(
        sessions=build_sessions(engine),
        generation=Owner("generation", settings.generation_service_url, http, tokens),
        gallery=Owner("gallery", settings.gallery_service_url, http, tokens),
        models=Owner("model", settings.model_service_url, http, tokens),
        payment=Owner("payment", settings.payment_service_url, http, tokens),
        store=ObjectStore(settings.storage),
        clock=lambda: utc_now() + moved,
    )
    while await erase_due(desk):
        pass
    await http.aclose()
    await engine.dispose()


def fork_and_wait(order: dict[str, Any]) -> str | None:
    """The step before which the fork died; None if it got through. Raises if it failed."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.run(erase(order, writable))
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
    configure_logs("account", "CRITICAL")  # standard output is for answers
    for line in sys.stdin:
        sys.stdout.write(json.dumps(fork_and_wait(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
