"""A platform whose every part can be killed: PostgreSQL, Redis, S3, API, relay and workers."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dev.parts.postgres import make_cluster, postgres
from dev.parts.program import (
    LOOPBACK,
    Program,
    answers_http,
    free_port,
    services_python,
    start,
    stop,
    wait_ready,
)
from dev.parts.redis import redis
from dev.parts.s3 import s3
from libs.testkit.postgres import TEMPLATE, Database, Server, make_template
from libs.testkit.s3 import BUCKET
from tests.faults import nursery
from tests.running_platform import wait_until

ROOT = Path(__file__).parents[2]
WORKERS = 3
SLOTS = 8
# The page cache outlives a killed server, so that what it has committed is there without fsync.
QUICK_DISK = ("-c", "fsync=off")


@dataclass
class Nursery:
    """The process that forks parts."""

    process: subprocess.Popen[str]
    folder: Path

    def order(self, **words: Any) -> int:
        """Tell it something; the process id that it answers with."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, part: str, settings: dict[str, str]) -> int:
        return self.order(start=part, settings=settings, log=str(self.folder / f"{part}.log"))

    def kill(self, process: int) -> None:
        self.order(kill=process)


@dataclass
class Mortal:
    """Every part by name, and how to kill and start it again."""

    folder: Path
    nursery: Nursery
    database: Database
    settings: dict[str, str]
    programs: dict[str, Program]
    servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    forks: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The API's address."""
        return f"http://{LOOPBACK}:{self.settings['EASEL_PORT']}"

    @property
    def objects(self) -> Path:
        """The folder of all stored objects."""
        return self.folder / "s3" / BUCKET

    def start_server(self, name: str) -> None:
        program, log = self.programs[name], self.folder / f"{name}.log"
        self.servers[name] = start(program, log)
        wait_ready(program, self.servers[name], log)

    def stop_server(self, name: str) -> None:
        stop(self.programs[name], self.servers[name])

    def crash_server(self, name: str) -> None:
        """Kill it; PostgreSQL ends as in a crash, without a checkpoint (`immediate`)."""
        server = self.servers[name]
        server.send_signal(signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
        server.wait(20)

    def start_fork(self, name: str) -> None:
        """Start `api`, `relay` or `worker-N`."""
        part, _, number = name.partition("-")
        role = {"api": "generation"}.get(part, part)
        metrics = {"EASEL_METRICS_PORT": str(free_port())}
        own = {"EASEL_DATABASE_URL": self.database.url(role), **metrics}
        self.forks[name] = self.nursery.start(part, {**self.settings, **own})

    def kill_fork(self, name: str) -> int:
        """Kill a part; the process id that it had."""
        process = self.forks.pop(name)
        self.nursery.kill(process)
        return process


def programs_in(
    folder: Path, server: Server, ports: dict[str, int], key: str
) -> dict[str, Program]:
    """The servers that all others stand on; each keeps its files."""
    python = services_python()
    account = make_cluster(python, folder / "postgres", server.password)
    database = postgres(python, server.port, folder / "postgres", account)
    return {
        "postgres": replace(database, argv=[*database.argv, *QUICK_DISK]),
        "redis": redis(python, ports["redis"], folder / "redis", server.password),
        "s3": s3(python, ports["s3"], folder / "s3", key, server.password, BUCKET),
    }


def settings_for(server: Server, ports: dict[str, int], key: str) -> dict[str, str]:
    """What API, relay and workers are told, but for their database role."""
    return {
        "EASEL_LOG_LEVEL": "WARNING",
        "EASEL_PORT": str(ports["api"]),
        "EASEL_REDIS_URL": f"redis://:{server.password}@{LOOPBACK}:{ports['redis']}/0",
        "EASEL_JWKS_URL": f"http://{LOOPBACK}:{ports['issuer']}/jwks.json",
        "EASEL_MODEL_SERVICE_URL": f"http://{LOOPBACK}:{ports['model']}",
        "EASEL_TRITON_GRPC_URL": f"{LOOPBACK}:9",
        "EASEL_WORKER_POOL": "premium,standard",
        "EASEL_WORKER_CONCURRENCY": str(SLOTS),
        "EASEL_S3_BUCKET_IMAGES": BUCKET,
        "EASEL_S3_REGION": "ap-northeast-2",
        "EASEL_S3_ENDPOINT_URL": f"http://{LOOPBACK}:{ports['s3']}",
        "EASEL_S3_ACCESS_KEY_ID": key,
        "EASEL_S3_SECRET_ACCESS_KEY": server.password,
        "EASEL_OVERLOAD": "accept",
    }


@contextmanager
def nursery_in(folder: Path) -> Iterator[Nursery]:
    """A nursery that has imported everything."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    argv, pipe = [sys.executable, "-m", nursery.__name__], subprocess.PIPE
    with subprocess.Popen(argv, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        yield Nursery(process, folder)
        process.communicate()
    assert process.returncode == 0


@contextmanager
def mortal_platform(folder: Path, ports: dict[str, int]) -> Iterator[Mortal]:
    """The platform runs inside the block. `ports` names issuer and model, which live elsewhere."""
    ports = {**ports, **{name: free_port() for name in ("api", "redis", "s3")}}
    server, key = Server(free_port(), secrets.token_hex(12)), secrets.token_hex(8)
    with nursery_in(folder) as forks, ExitStack() as ends:
        platform = Mortal(
            folder=folder,
            nursery=forks,
            database=Database(server, TEMPLATE),
            settings=settings_for(server, ports, key),
            programs=programs_in(folder, server, ports, key),
        )
        for name in platform.programs:
            platform.start_server(name)
            ends.callback(platform.stop_server, name)
        make_template(server)
        for name in ("api", "relay", *(f"worker-{number}" for number in range(WORKERS))):
            platform.start_fork(name)
        wait_until(lambda: answers_http(f"{platform.url}/healthz"), 20)
        yield platform
        for name in list(platform.forks):
            platform.kill_fork(name)
