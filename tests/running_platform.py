"""The whole platform for tests: `./easel up` in a fresh state folder, ended by `./easel down`.

The environments of the checkout are used as they are (EASEL_SERVICES_PYTHON and
EASEL_INFERENCE_PYTHON, which `./easel test` sets); EASEL_ROOT is the checkout.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from dev import ports, supervision
from dev.account import sign_up
from dev.client import Client
from dev.local_secrets import load_or_make
from dev.mailbox import Mailbox
from dev.parts.postgres import admin_url
from dev.state import State
from dev.supervision import Supervisor

ROOT = Path(os.environ.get("EASEL_ROOT") or Path(__file__).resolve().parents[1])
REQUEST: dict[str, Any] = {"model": "demo", "prompt": "a red apple", "width": 64, "height": 64}
FINAL = {"succeeded", "partial", "failed", "cancelled", "expired"}
WAIT_SECONDS = 120.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Platform:
    """A running platform."""

    state: State
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{ports.remembered(self.state)['gateway']}"

    @property
    def mailbox(self) -> Mailbox:
        """The e-mails that the platform has sent."""
        return Mailbox(f"http://127.0.0.1:{ports.remembered(self.state)['mail']}")

    @property
    def supervisor(self) -> Supervisor:
        found = supervision.connect(self.state)
        assert found is not None, "the process manager is gone"
        return found

    @property
    def database_url(self) -> str:
        """The superuser's URL of the platform's database: for looking, in tests."""
        password = load_or_make(self.state.secrets)["postgres_superuser"]
        return admin_url(ports.remembered(self.state)["postgres"], password, "easel")

    def easel(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command line against this platform."""
        return subprocess.run(
            [sys.executable, str(ROOT / "easel"), *words],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    def pid(self, part: str) -> int:
        """The process id of a part; 0 while it does not run."""
        return self.supervisor.processes()[part].pid

    def sign_up(self) -> "User":
        """A new user on the free plan."""
        visitor = Client(self.url)
        email, password = sign_up(visitor, self.mailbox, "Tester")
        headers = {"Authorization": f"Bearer {visitor.token}"}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30)
        return User(client, email, password)


@dataclass(frozen=True)
class User:
    """Somebody who is logged in."""

    http: httpx.Client
    email: str
    password: str = field(repr=False)

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create(self, **wishes: Any) -> Any:
        """Post a generation and return it as accepted."""
        answer = self.http.post("/api/v1/generations", json={**REQUEST, **wishes})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def job(self, job: Any) -> Any:
        return self.get(f"/api/v1/generations/{job['id']}")

    def wait(self, job: Any, seconds: float = WAIT_SECONDS) -> Any:
        """The job once it has ended."""
        wait_until(lambda: self.job(job)["status"] in FINAL, seconds)
        return self.job(job)

    def events(self, job: Any) -> Iterator[tuple[str, Any]]:
        """The job's server-sent events as (name, data), until `finished`."""
        path = f"/api/v1/generations/{job['id']}/events"
        with self.http.stream("GET", path, timeout=WAIT_SECONDS) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            name = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))

    def picture(self, image_id: str) -> bytes:
        """The bytes of a picture, read as a browser does: by its URL alone."""
        answer = httpx.get(self.get(f"/api/v1/images/{image_id}")["url"])
        assert answer.status_code == 200, answer.text
        return answer.content


def wait_until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait until it is true; fail the test if it does not become true in time.

    Looks ever less often, at least once a second: the smallest plan may ask twice a second.
    """
    deadline, pause = time.monotonic() + seconds, POLL_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {seconds:.0f} s"
        time.sleep(pause)
        pause = min(1.0, pause * 1.2)


def own_port() -> int:
    """A free port for the gateway.

    By itself it takes the first of a short list, as another platform that starts at this moment
    would, and two gateways that listen on one port share its callers.
    """
    return next(p for p in random.sample(ports.INNER_PORTS, 100) if ports.is_free(p))


@contextmanager
def running_platform(folder: Path) -> Iterator[Platform]:
    """A platform of its own in `folder`; what its logs said is shown if it does not start."""
    environment = {
        **os.environ,
        "EASEL_STATE_DIR": str(folder),
        "EASEL_LOG_LEVEL": "INFO",
        "EASEL_GATEWAY_PORT": str(own_port()),
    }
    platform = Platform(State(folder), environment)
    try:
        started = platform.easel("up")
        assert started.returncode == 0, started.stdout + started.stderr
        yield platform
    finally:
        stopped = platform.easel("down")
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr
