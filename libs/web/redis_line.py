"""One connection to Redis that all requests of a process share, for commands that answer one line.

Commands of concurrent requests travel together and are answered in order, so that a call costs a
fifth of the CPU that a pooled client of redis-py takes (docs/adr/0020-rate-limits.md). What
answers more than a line (bulk strings, arrays) belongs to `libs.events.connection`.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from typing import Any, cast

from redis.asyncio import Sentinel
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from libs.kernel.redis_address import SentinelAddress, read_sentinel_url

STUCK_SECONDS = 0.5  # a connection that owes an answer for so long is given up


class RedisAway(ConnectionError):
    """Redis cannot be reached or does not answer in time."""


class RedisRefused(Exception):
    """Redis answered with an error; the text begins with its code (`NOSCRIPT`)."""


def pack(parts: tuple[bytes, ...]) -> bytes:
    """A command in the Redis serialization protocol (RESP)."""
    lines = [b"*%d" % len(parts)]
    for part in parts:
        lines += (b"$%d" % len(part), part)
    lines.append(b"")
    return b"\r\n".join(lines)


class _Line(asyncio.Protocol):
    """Pairs each line of Redis with the oldest question."""

    def __init__(self) -> None:
        self.open = True
        self.asked: deque[tuple[asyncio.Future[bytes], float]] = deque()
        self.rest = b""
        self.transport: asyncio.WriteTransport

    def ask(self, *parts: bytes) -> asyncio.Future[bytes]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        self.asked.append((answer, loop.time()))
        self.transport.write(pack(parts))
        return answer

    def owes_since(self) -> float:
        """When the oldest question without an answer was asked, by the loop's clock."""
        return self.asked[0][1] if self.asked else float("inf")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\r\n")
        for line in lines:
            answer, _ = self.asked.popleft()
            if answer.done():  # who asked has gone
                continue
            if line[:1] == b"+":
                answer.set_result(line[1:])
            else:
                answer.set_exception(RedisRefused(line[1:].decode(errors="replace")))

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        for answer, _ in self.asked:
            if not answer.done():
                answer.set_exception(RedisAway("the connection was lost"))
        self.asked.clear()


class RedisLine:
    """The connection of a URL of `libs.kernel.redis_address`.

    It is opened by the first call, and anew after a failure.
    """

    def __init__(self, url: str) -> None:
        self._sentinel = read_sentinel_url(url)
        place = _place_of(self._sentinel) if self._sentinel else parse_url(url)
        self._place: dict[str, Any] = dict(place)
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    @property
    def password(self) -> str:
        """The password of the connection; empty if it has none."""
        return self._place.get("password") or ""

    async def call(self, *parts: bytes, seconds: float) -> bytes:
        """What Redis answers to a command, without the mark of a simple string.

        Raises RedisAway, also when it takes longer than `seconds`, and RedisRefused.
        """
        line = self._line
        if line is None or not line.open:
            line = await self._connect(seconds)
        answer = line.ask(*parts)
        timer = answer.get_loop().call_later(seconds, _give_up, line, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        if self._line is not None:
            self._line.open = False
            self._line.transport.close()

    async def _connect(self, seconds: float) -> _Line:
        try:
            async with asyncio.timeout(seconds), self._connecting:
                if self._line is None or not self._line.open:
                    self._line = await self._open()
                return self._line
        except OSError as error:  # TimeoutError is one
            raise RedisAway(repr(error)) from error

    async def _open(self) -> _Line:
        place = self._place
        is_secure = place.get("connection_class") is SSLConnection
        host, port = place.get("host", "localhost"), place.get("port", 6379)
        if self._sentinel is not None:
            host, port = await _find_primary(self._sentinel)
        _, line = await asyncio.get_running_loop().create_connection(
            _Line,
            host,
            port,
            ssl=ssl.create_default_context() if is_secure else None,
        )
        try:
            await self._greet(line)
        except BaseException:
            line.transport.abort()
            raise
        return line

    async def _greet(self, line: _Line) -> None:
        login = [self._place[name] for name in ("username", "password") if self._place.get(name)]
        if login:
            await line.ask(b"AUTH", *(word.encode() for word in login))
        if self._place.get("db"):
            await line.ask(b"SELECT", b"%d" % self._place["db"])


def _place_of(address: SentinelAddress) -> dict[str, Any]:
    return {"username": address.username, "password": address.password, "db": address.db}


async def _find_primary(address: SentinelAddress) -> tuple[str, int]:
    """What the first Sentinel says that answers; raises RedisError if none does."""
    asking = [asyncio.create_task(_ask_sentinel(place, address)) for place in address.sentinels]
    try:
        for answer in asyncio.as_completed(asking):
            with contextlib.suppress(RedisError, OSError):
                return await answer
        raise RedisAway("no Sentinel names a primary")
    finally:
        for task in asking:
            task.cancel()


async def _ask_sentinel(place: tuple[str, int], address: SentinelAddress) -> tuple[str, int]:
    login = {"username": address.sentinel_username, "password": address.sentinel_password}
    once = Retry(NoBackoff(), 0)
    sentinel = Sentinel([place], sentinel_kwargs={**login, "retry": once})
    try:
        host, port = await sentinel.discover_master(address.primary)
    finally:
        await sentinel.sentinels[0].aclose()
    return str(host), int(port)


def _give_up(line: _Line, answer: asyncio.Future[bytes]) -> None:
    if answer.done():
        return
    answer.set_exception(RedisAway("no answer in time"))
    if line.owes_since() < answer.get_loop().time() - STUCK_SECONDS:
        line.open = False
        line.transport.abort()
