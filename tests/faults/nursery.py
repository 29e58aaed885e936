"""Starts parts of the platform by forking, so that each of hundreds of deaths costs no imports.

Reads orders from standard input, one JSON object a line: `{"start": PART, "settings": {...}, "log":
PATH}` is answered with the process id, `{"kill": PID}` when the process is gone.
"""

import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from celery.apps.worker import Worker

from libs.jobs.celery_app import build_celery
from libs.storage.objects import ObjectStore, StorageSettings
from services.generation import app, relay
from tests.faults import quick_engine

PARTS: dict[str, Callable[[], None]] = {
    "worker": quick_engine.main,
    "relay": relay.main,
    "api": app.main,
}


def start(part: str, settings: dict[str, str], log: str) -> int:
    """Fork; the child becomes the part."""
    child = os.fork()
    if child:
        return child
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in ((0, nothing), (1, output), (2, output)):
        os.dup2(descriptor, number)
    os.environ.update(settings)
    # In life these have machines of their own; here they must not keep the sweeper from its rounds.
    os.nice(0 if part == "relay" else 5)
    sys.argv = [part]
    try:
        PARTS[part]()
    finally:
        os._exit(1)


def kill(process: int) -> int:
    """SIGKILL, and wait for the end."""
    os.kill(process, signal.SIGKILL)
    return os.waitpid(process, 0)[0]


def obey(order: dict[str, Any]) -> int:
    """Do what an order says; the process that it is about."""
    if "kill" in order:
        return kill(order["kill"])
    return start(order["start"], order["settings"], order["log"])


def warm_up() -> None:
    """Load what a worker loads when it starts, for all that are forked."""
    ObjectStore(StorageSettings("none", "none", "http://127.0.0.1:9", None, "none", "none"))
    Worker(app=build_celery("redis://127.0.0.1:9/0"), concurrency=1, hostname="nobody")
    gc.freeze()


def main() -> None:
    """Obey until standard input ends, then kill what is left."""
    warm_up()
    living: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        process = obey(order)
        living ^= {process}
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
    for process in living:
        kill(process)


if __name__ == "__main__":
    main()
