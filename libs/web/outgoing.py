"""Requests to addresses that users name (webhooks, imports), safe against being sent inside.

A name is resolved once; every address of it must be public, and the connection goes to an address
that was checked, so that a second answer of the name server changes nothing (OWASP, "Server-Side
Request Forgery Prevention"; docs/adr/0021-outgoing-calls.md).
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx

from libs.kernel.problems import Problem
from libs.web.outgoing_addresses import Address, Network, may_be_called, read_address

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
MAX_URL_LENGTH = 2048
REDIRECTS = (301, 302, 303, 307, 308)


class UrlNotAllowed(Problem):
    slug, status, title = "url-not-allowed", 422, "This address may not be called"


class OutgoingFailed(Exception):
    """The other side did not answer as it should; the text may be shown to who named it."""


@dataclass(frozen=True)
class OutgoingPolicy:
    """What may be called, for how long (seconds, all in all), and how much may come back.

    `networks` may be called although they are not public: for tests and a local platform.
    """

    schemes: tuple[str, ...] = ("https",)
    ports: tuple[int, ...] = (443, 8443)
    networks: tuple[Network, ...] = ()
    seconds: float = 10.0
    max_bytes: int = 65_536
    max_redirects: int = 0


@dataclass(frozen=True)
class OutgoingAnswer:
    """What came back."""

    status: int
    headers: httpx.Headers
    body: bytes


# Threads of their own: a name server of a stranger that does not answer holds one for long, and the
# loop's own threads are those by which everything else goes out.
RESOLVERS = ThreadPoolExecutor(32, "resolver")


async def resolve_name(host: str, port: int) -> Sequence[Address]:
    """The addresses of a name by the system's resolver. Raises OSError."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(RESOLVERS, look_up)
    read = (read_address(str(sockaddr[0])) for *_, sockaddr in found)
    return [address for address in read if address is not None]


def check_outgoing_url(url: str, policy: OutgoingPolicy) -> httpx.URL:
    """The URL, if its text may be called; a name in it is not looked up. Raises UrlNotAllowed."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        raise UrlNotAllowed("This is no URL") from None
    if len(url) > MAX_URL_LENGTH or not parsed.host:
        raise UrlNotAllowed(f"A URL has a host and at most {MAX_URL_LENGTH} characters")
    if parsed.scheme not in policy.schemes:
        raise UrlNotAllowed(f"The URL must begin with {' or '.join(policy.schemes)}://")
    if parsed.userinfo:
        raise UrlNotAllowed("A URL with a user name or password in it is not called")
    if port_of(parsed) not in policy.ports:
        raise UrlNotAllowed(f"The ports {', '.join(map(str, policy.ports))} are called")
    address = read_address(parsed.host)
    if address is not None and not may_be_called(address, policy.networks):
        raise UrlNotAllowed("The address is not public")
    return parsed


def port_of(url: httpx.URL) -> int:
    """The port that a URL means."""
    return url.port or (443 if url.scheme == "https" else 80)


async def checked_addresses(
    url: httpx.URL, policy: OutgoingPolicy, resolve: Resolve
) -> Sequence[Address]:
    """Where a URL leads. Raises UrlNotAllowed unless all is public; OutgoingFailed if nowhere."""
    literal = read_address(url.host)
    try:
        found = [literal] if literal else await resolve(name_of(url), port_of(url))
    except (OSError, UnicodeError):
        raise OutgoingFailed("The host name is not known") from None
    if not found:
        raise OutgoingFailed("The host name has no address")
    if not all(may_be_called(address, policy.networks) for address in found):
        raise UrlNotAllowed("The host name leads to an address that is not public")
    return found


@dataclass
class CheckedTransport(httpx.AsyncBaseTransport):
    """Connects to checked addresses alone; name and certificate stay those of the URL.

    Connections are not kept: one to an address would be reused for another name on it.
    """

    policy: OutgoingPolicy
    resolve: Resolve = resolve_name
    tls: ssl.SSLContext | None = None
    _inner: httpx.AsyncHTTPTransport = field(init=False)

    def __post_init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport(
            verify=self.tls or True,
            trust_env=False,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = check_outgoing_url(str(request.url), self.policy)
        *others, last = await checked_addresses(url, self.policy, self.resolve)
        for address in others:
            try:
                return await self._inner.handle_async_request(redirected(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # nothing was sent yet
        return await self._inner.handle_async_request(redirected(request, last))

    async def aclose(self) -> None:
        await self._inner.aclose()


def redirected(request: httpx.Request, address: Address) -> httpx.Request:
    """The same request to one address; the Host header and the TLS name are the URL's."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": name_of(request.url)},
    )


def name_of(url: httpx.URL) -> str:
    """The host as it is looked up and certified: in ASCII."""
    return url.raw_host.decode("ascii")


def origin_of(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return url.scheme, name_of(url), port_of(url)


def next_target(url: httpx.URL, place: str, policy: OutgoingPolicy) -> httpx.URL:
    """Where a redirect leads. Raises UrlNotAllowed."""
    try:
        return check_outgoing_url(str(url.join(place)), policy)
    except (httpx.InvalidURL, UnicodeError):
        raise UrlNotAllowed("A redirect leads to no URL") from None


class OutgoingClient:
    """Calls what users name. One for a process; close it at the end."""

    def __init__(
        self,
        policy: OutgoingPolicy,
        *,
        resolve: Resolve = resolve_name,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.policy = policy
        self._http = httpx.AsyncClient(
            transport=CheckedTransport(policy, resolve, tls),
            timeout=policy.seconds,
            trust_env=False,
            follow_redirects=False,
            # what is packed may unpack to anything: plain bytes can be counted
            headers={"Accept-Encoding": "identity", "User-Agent": "Easel"},
        )

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes = b""
    ) -> OutgoingAnswer:
        """One request and its whole answer, whatever its status.

        Raises UrlNotAllowed, and OutgoingFailed without an answer in time or with too large a one.
        """
        async with self.stream(method, url, headers=headers, content=content) as (answer, chunks):
            body = b"".join([chunk async for chunk in chunks])
        return OutgoingAnswer(answer.status_code, answer.headers, body)

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes = b""
    ) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[bytes]]]:
        """An answer as it arrives; time and size are limited in all. Raises as `send` does."""
        try:
            async with asyncio.timeout(self.policy.seconds):
                answer = await self._follow(method, url, headers, content)
                try:
                    yield answer, self._counted(answer)
                finally:
                    await answer.aclose()
        except (TimeoutError, httpx.TimeoutException):
            raise OutgoingFailed("No whole answer in time") from None
        except httpx.HTTPError as error:
            raise OutgoingFailed(f"The connection failed ({type(error).__name__})") from None

    async def _follow(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes
    ) -> httpx.Response:
        """The first answer that is no redirect to follow; each step is checked like the first."""
        target, sent, left = check_outgoing_url(url, self.policy), dict(headers), 0
        if method == "GET":
            left = self.policy.max_redirects
        while True:
            request = self._http.build_request(method, target, headers=sent, content=content)
            answer = await self._http.send(request, stream=True)
            place = answer.headers.get("location")
            if answer.status_code not in REDIRECTS or not place or not left:
                return answer
            await answer.aclose()
            before, target, left = target, next_target(target, place, self.policy), left - 1
            if origin_of(before) != origin_of(target):
                sent = {}  # what was meant for one host is not told to another

    async def _counted(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in answer.aiter_raw():
            size += len(chunk)
            if size > self.policy.max_bytes:
                raise OutgoingFailed(f"The answer is larger than {self.policy.max_bytes} bytes")
            yield chunk

    async def close(self) -> None:
        """Close what is open."""
        await self._http.aclose()
