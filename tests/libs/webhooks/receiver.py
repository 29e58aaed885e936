"""A customer's real HTTP server, which verifies what it gets as the guide tells customers to."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed_by(self, secret: str) -> bool:
        """Whether one of the signatures is of this secret."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        head = f"{self.message_id}.{self.headers['webhook-timestamp']}.".encode()
        wanted = base64.b64encode(hmac.digest(key, head + self.body, hashlib.sha256)).decode()
        given = self.headers["webhook-signature"].split(" ")
        return any(hmac.compare_digest(f"v1,{wanted}", one) for one in given)


async def say_ok(_received: Received) -> bytes:
    return answer(200, b"thanks")


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP answer; `Retry_After=5` becomes a header."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Receiver:
    """`reply` is awaited for each request; `busy` counts those that wait for it."""

    port: int = 0
    reply: Callable[[Received], Awaitable[bytes]] = say_ok
    received: list[Received] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/hook"

    async def wait_for(self, requests: int) -> None:
        """Until so many have arrived."""
        while len(self.received) < requests:
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), 10)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            got = await read_request(reader)
            self.received.append(got)
            self.busy += 1
            self.busiest = max(self.busy, self.busiest)
            self.arrived.set()
            try:
                writer.write(await self.reply(got))
                await writer.drain()
            finally:
                self.busy -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> Received:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    return Received(first.split(" ")[1], headers, body)


@asynccontextmanager
async def receiver(
    reply: Callable[[Received], Awaitable[bytes]] = say_ok,
) -> AsyncIterator[Receiver]:
    """The server runs inside the block."""
    side = Receiver(reply=reply)
    server = await asyncio.start_server(side.talk, LOOPBACK, 0)
    side.port = server.sockets[0].getsockname()[1]
    try:
        yield side
    finally:
        server.close()
