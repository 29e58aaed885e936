"""TCP ports: chosen free at the first start, remembered, and open to configuration.

`EASEL_GATEWAY_PORT`, `EASEL_POSTGRES_PORT`, ... fix a port; see NAMES.
"""

import json
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dev.parts.program import LOOPBACK, PartError
from dev.state import State

NAMES = (
    "gateway",
    "postgres",
    "redis",
    "s3",
    "mail",
    "mail_smtp",
    "triton_http",
    "triton_grpc",
    "triton_metrics",
    "triton_engine",
    "user",
    "payment",
    "generation",
    "gallery",
    "model",
    "worker",
    "relay",
    "lemon_squeezy",
    "openid",
    "discord",
    "studio",
    "billing",
    "account",
)
GATEWAY_PORTS = range(8080, 8180)
# Below the range from which systems take ports for outgoing connections.
INNER_PORTS = range(20000, 30000)

Ports = dict[str, int]


def variable(name: str) -> str:
    """The environment variable that fixes the port of that name."""
    return f"EASEL_{name.upper()}_PORT"


def are_complete(known: Mapping[str, int]) -> bool:
    """Whether every part has a port; an older checkout knew fewer parts."""
    return set(NAMES) <= set(known)


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(
    remembered: Mapping[str, int],
    environment: Mapping[str, str],
    free: Callable[[int], bool] = is_free,
) -> Ports:
    """A free port for each name: the configured, else the remembered, else another.

    Raises PartError where a configured port is no port, is taken, or is given twice.
    """
    ports: Ports = {}
    for name in NAMES:
        if value := environment.get(variable(name), ""):
            ports[name] = _configured(name, value, ports, free)
    for name in NAMES:
        if name not in ports:
            candidates = _candidates(name, remembered)
            ports[name] = next(p for p in candidates if p not in ports.values() and free(p))
    return ports


def _configured(name: str, value: str, others: Ports, free: Callable[[int], bool]) -> int:
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise PartError(f"{variable(name)} is {value!r}: set it to a port from 1 to 65535")
    for other, port in others.items():
        if port == int(value):
            raise PartError(f"{variable(name)} and {variable(other)} are both {value}: change one")
    if not free(int(value)):
        raise PartError(
            f"port {value} ({variable(name)}) is in use: stop what listens there, "
            "or choose another port"
        )
    return int(value)


def _candidates(name: str, remembered: Mapping[str, int]) -> Iterator[int]:
    if name in remembered:
        yield remembered[name]
    if name == "gateway":
        yield from GATEWAY_PORTS
    yield from random.sample(INNER_PORTS, len(INNER_PORTS))


def remember(state: State, ports: Ports, backing: str) -> None:
    """Keep what a start chose: its ports, and where its backing parts run."""
    _file(state).write_text(json.dumps({"backing": backing, "ports": ports}, indent=1) + "\n")


def remembered(state: State) -> Ports:
    """The ports of the last start; empty before the first."""
    return dict(_read(state).get("ports", {}))


def remembered_backing(state: State) -> str:
    """`local` or `external`, as at the last start."""
    return str(_read(state).get("backing", "local"))


def _file(state: State) -> Path:
    return state.home / "platform.json"


def _read(state: State) -> dict[str, Any]:
    file = _file(state)
    return dict(json.loads(file.read_text())) if file.exists() else {}
