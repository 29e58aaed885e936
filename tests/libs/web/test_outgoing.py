"""Calls to addresses that users name, against real servers: nobody is sent inside."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from libs.web.outgoing import (
    OutgoingClient,
    OutgoingFailed,
    OutgoingPolicy,
    UrlNotAllowed,
    resolve_name,
)
from tests.libs.web.far_side import NameServer, certify, listening

PUBLIC = "93.184.216.34"
HERE = (ip_network("127.0.0.1/32"),)


def local_policy(*ports: int, **changes: object) -> OutgoingPolicy:
    """As in production, but for plain http to one address of this machine."""
    policy = OutgoingPolicy(schemes=("http", "https"), ports=ports, networks=HERE)
    return replace(policy, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def calling(policy: OutgoingPolicy, names: NameServer) -> AsyncIterator[OutgoingClient]:
    client = OutgoingClient(policy, resolve=names)
    yield client
    await client.close()


async def test_a_name_is_called_at_the_address_that_was_checked() -> None:
    async with listening() as side:
        names = NameServer(["127.0.0.1"])
        async with calling(local_policy(side.port), names) as client:
            url = f"http://hooks.example:{side.port}/in?a=1"
            answer = await client.send("POST", url, headers={"X-Mark": "7"}, content=b"hello")
    assert (answer.status, answer.body) == (200, b"ok")
    (head,) = side.heads
    assert head.startswith("POST /in?a=1 HTTP/1.1\r\n")
    assert f"\r\nHost: hooks.example:{side.port}\r\n" in head
    assert "\r\nX-Mark: 7\r\n" in head and "\r\nAccept-Encoding: identity\r\n" in head
    assert names.asked == ["hooks.example"]


@pytest.mark.parametrize("inside", ["127.0.0.2", "169.254.169.254", "10.0.0.1", "::1", "0.0.0.0"])
async def test_a_name_that_leads_inside_is_not_called(inside: str) -> None:
    async with (
        listening("127.0.0.2") as side,
        calling(local_policy(side.port), NameServer([inside])) as client,
    ):
        with pytest.raises(UrlNotAllowed, match="not public"):
            await client.send("GET", f"http://hooks.example:{side.port}/", headers={})
    assert side.heads == []


async def test_one_address_inside_among_public_ones_is_enough() -> None:
    async with listening() as side:
        names = NameServer(["127.0.0.1", PUBLIC, "10.0.0.1"])
        async with calling(local_policy(side.port), names) as client:
            with pytest.raises(UrlNotAllowed):
                await client.send("GET", f"http://hooks.example:{side.port}/", headers={})
    assert side.heads == []


@pytest.mark.parametrize("name", ["localhost", "2130706433", "0x7f.1", "127.1", "localhost."])
async def test_names_that_the_system_reads_as_this_machine_are_not_called(name: str) -> None:
    async with listening() as side:
        policy = OutgoingPolicy(schemes=("http",), ports=(side.port,))
        client = OutgoingClient(policy, resolve=resolve_name)
        with pytest.raises((UrlNotAllowed, OutgoingFailed)):
            await client.send("GET", f"http://{name}:{side.port}/", headers={})
        await client.close()
    assert side.heads == []


async def test_a_name_that_changes_its_mind_is_asked_once() -> None:
    """DNS rebinding: the second answer would lead inside."""
    async with listening("127.0.0.1") as good, listening("127.0.0.2", port=good.port) as inside:
        names = NameServer(["127.0.0.1"], ["127.0.0.2"])
        async with calling(local_policy(good.port), names) as client:
            url = f"http://hooks.example:{good.port}/"
            assert (await client.send("GET", url, headers={})).status == 200
            with pytest.raises(UrlNotAllowed):  # the next call looks again, and sees
                await client.send("GET", url, headers={})
    assert (len(good.heads), len(inside.heads)) == (1, 0)
    assert len(names.asked) == 2


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    policy = local_policy(networks=(ip_network("127.0.0.0/30"),))
    async with listening("127.0.0.1") as side:
        names = NameServer(["127.0.0.2", "127.0.0.1"])
        async with calling(replace(policy, ports=(side.port,)), names) as client:
            answer = await client.send("GET", f"http://hooks.example:{side.port}/", headers={})
    assert answer.status == 200


async def test_the_certificate_must_be_the_names(tmp_path: Path) -> None:
    server_tls, client_tls = certify(tmp_path, "hooks.example")
    async with listening(tls=server_tls) as side:
        policy = local_policy(side.port)
        client = OutgoingClient(policy, resolve=NameServer(["127.0.0.1"]), tls=client_tls)
        right = await client.send("GET", f"https://hooks.example:{side.port}/", headers={})
        with pytest.raises(OutgoingFailed):
            await client.send("GET", f"https://other.example:{side.port}/", headers={})
        untrusting = OutgoingClient(policy, resolve=NameServer(["127.0.0.1"]))
        with pytest.raises(OutgoingFailed):
            await untrusting.send("GET", f"https://hooks.example:{side.port}/", headers={})
        await client.close()
        await untrusting.close()
    assert right.status == 200
    assert len(side.heads) == 1


def moved(place: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_a_redirect_is_an_answer_unless_it_is_to_be_followed() -> None:
    async with listening(answer=moved("/there")) as side:
        async with calling(local_policy(side.port), NameServer(["127.0.0.1"])) as client:
            url = f"http://hooks.example:{side.port}/"
            answer = await client.send("GET", url, headers={})
    assert (answer.status, answer.headers["location"], len(side.heads)) == (302, "/there", 1)


async def test_a_redirect_that_is_followed_is_checked_and_takes_no_secrets_along() -> None:
    async with listening() as end, listening() as start:
        start.answer = moved(f"http://other.example:{end.port}/end")
        policy = local_policy(start.port, end.port, max_redirects=3)
        async with calling(policy, NameServer(["127.0.0.1"])) as client:
            url = f"http://hooks.example:{start.port}/"
            answer = await client.send("GET", url, headers={"Authorization": "Bearer secret"})
            assert answer.status == 200
            posted = await client.send("POST", url, headers={})
            assert posted.status == 302  # a body is sent to nobody else
    assert "secret" in start.heads[0] and "secret" not in end.heads[0]
    assert f"Host: other.example:{end.port}" in end.heads[0]


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254:PORT/",
        "http://[::1]:PORT/",
        "http://inside.example:PORT/",
        "http://user:pw@hooks.example:PORT/",
        "http://hooks.example:22/",
        "file:///etc/passwd",
        "http://[/",
    ],
)
async def test_a_redirect_inside_is_not_followed(place: str) -> None:
    async with listening() as start, listening("127.0.0.2", port=start.port) as inside:
        start.answer = moved(place.replace("PORT", str(start.port)))
        names = NameServer(["127.0.0.1"], ["127.0.0.2"])
        async with calling(local_policy(start.port, max_redirects=5), names) as client:
            with pytest.raises((UrlNotAllowed, OutgoingFailed)):
                await client.send("GET", f"http://hooks.example:{start.port}/", headers={})
    assert (len(start.heads), inside.heads) == (1, [])


async def test_redirects_come_to_an_end() -> None:
    async with listening(answer=moved("/again")) as side:
        policy = local_policy(side.port, max_redirects=4)
        async with calling(policy, NameServer(["127.0.0.1"])) as client:
            answer = await client.send("GET", f"http://hooks.example:{side.port}/", headers={})
    assert (answer.status, len(side.heads)) == (302, 5)


async def test_an_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 99 + b"\n" + (b"y" * 1_023 + b"\n") * 200
    async with listening(answer=endless) as side:
        async with calling(local_policy(side.port), NameServer(["127.0.0.1"])) as client:
            with pytest.raises(OutgoingFailed, match="larger than 65536 bytes"):
                await client.send("GET", f"http://hooks.example:{side.port}/", headers={})


async def test_an_answer_that_trickles_is_given_up_in_all() -> None:
    slow = b"HTTP/1.1 200 OK\r\n\r\n" + b"x\n" * 100
    async with listening(answer=slow) as side:
        side.pause_seconds = 0.05  # each pause is short, all together are not
        policy = local_policy(side.port, seconds=0.4)
        async with calling(policy, NameServer(["127.0.0.1"])) as client:
            started = time.monotonic()
            with pytest.raises(OutgoingFailed, match="in time"):
                await client.send("GET", f"http://hooks.example:{side.port}/", headers={})
    assert time.monotonic() - started < 2


async def test_what_fails_says_nothing_of_inside() -> None:
    async with listening() as gone:
        port = gone.port
    async with calling(local_policy(port), NameServer(["127.0.0.1"])) as client:
        with pytest.raises(OutgoingFailed) as failed:
            await client.send("GET", f"http://hooks.example:{port}/", headers={})
    assert "127.0.0.1" not in str(failed.value)


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as proxy, listening() as side:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with calling(local_policy(side.port), NameServer(["127.0.0.1"])) as client:
            await client.send("GET", f"http://hooks.example:{side.port}/", headers={})
    assert (len(side.heads), proxy.heads) == (1, [])


async def test_a_large_file_is_read_as_it_arrives() -> None:
    body = b"z" * 1_000_000
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with listening(answer=head + body) as side:
        policy = local_policy(side.port, max_bytes=2_000_000)
        async with calling(policy, NameServer(["127.0.0.1"])) as client:
            url = f"http://hooks.example:{side.port}/"
            async with client.stream("GET", url, headers={}) as (answer, chunks):
                sizes = [len(chunk) async for chunk in chunks]
    assert answer.status_code == 200
    assert sum(sizes) == len(body) and len(sizes) > 1
