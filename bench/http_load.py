"""HTTP load that costs little itself: raw keep-alive connections, requests made beforehand."""

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.parts.program import LOOPBACK, PartError

TICKS = os.sysconf("SC_CLK_TCK")
HEAD_END = b"\r\n\r\n"


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """The bytes of one HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {LOOPBACK}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + HEAD_END + body


@dataclass(frozen=True)
class Answer:
    """The status and the first bytes of an answer."""

    status: int
    body: bytes


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: bytes) -> Answer:
    """One request on an open connection."""
    writer.write(what)
    head = (await reader.readuntil(HEAD_END)).lower()
    start = head.index(b"content-length: ") + len(b"content-length: ")
    length = int(head[start : head.index(b"\r\n", start)])
    return Answer(int(head[9:12]), await reader.readexactly(length))


async def closed_loop(port: int, requests: Sequence[bytes], *, clients: int, expect: int) -> float:
    """Requests a second of `clients` connections that each ask as soon as they are answered.

    Raises PartError for an answer of another status than `expect`.
    """
    rest = iter(requests)

    async def work() -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        for what in rest:
            answer = await ask(reader, writer, what)
            if answer.status != expect:
                raise PartError(f"{answer.status} instead of {expect}: {answer.body[:300]!r}")
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    return len(requests) / (time.perf_counter() - started)


async def open_loop(port: int, requests: Iterable[bytes], *, a_second: float) -> list[float]:
    """Seconds that each request took, sent at a fixed rate whatever the answers do."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(what: bytes, due: float) -> None:
        connection = idle.pop() if idle else await asyncio.open_connection(LOOPBACK, port)
        answer = await ask(*connection, what)
        took.append(loop.time() - due)
        idle.append(connection)
        if answer.status >= 500:
            raise PartError(f"{answer.status}: {answer.body[:300]!r}")

    begin = loop.time()
    async with asyncio.TaskGroup() as group:
        for number, what in enumerate(requests):
            due = begin + number / a_second
            await asyncio.sleep(max(0.0, due - loop.time()))
            group.create_task(send(what, due))
    for _, writer in idle:
        writer.close()
    return took


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def repeat(requests: Sequence[bytes], count: int) -> Iterator[bytes]:
    """`count` requests, going round."""
    return (requests[number % len(requests)] for number in range(count))
