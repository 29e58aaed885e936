"""The gateway as it is configured, before servers that show what reached them."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from dev.parts.caddy import caddy
from dev.parts.program import LOOPBACK, free_port, services_python
from libs.testkit.running import running

NAMES = ("user", "payment", "generation", "gallery", "model", "studio")
BUCKET = "easel-images"
CAREFUL = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers who it is and what it was asked."""

    name = ""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        received = len(self.rfile.read(length))
        seen = {"server": self.name, "path": self.path, "received": received}
        body = json.dumps({**seen, "headers": list(self.headers.items())}).encode()
        self.send_response(200)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def echoing(name: str) -> Iterator[int]:
    """A server on a free port that says its name."""
    kind = type(f"Echo_{name}", (Echo,), {"name": name})
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("gateway")
    with ExitStack() as stack:
        ports = {name: stack.enter_context(echoing(name)) for name in NAMES}
        s3 = f"{LOOPBACK}:{stack.enter_context(echoing('s3'))}"
        ports["gateway"] = free_port()
        program = caddy(services_python(), ports, folder / "caddy", s3, BUCKET)
        stack.enter_context(running(program, folder))
        url = f"http://{LOOPBACK}:{ports['gateway']}"
        yield stack.enter_context(httpx.Client(base_url=url, timeout=10))


def values(answer: httpx.Response, name: str) -> list[str]:
    """What a header had when it reached the service."""
    headers = answer.json()["headers"]
    return [value for header, value in headers if header.lower() == name]


@pytest.mark.parametrize("claimed", ["203.0.113.7", "10.0.0.1, 127.0.0.1", ""])
def test_what_a_client_says_of_its_address_is_dropped(gateway: httpx.Client, claimed: str) -> None:
    headers = {"X-Forwarded-For": claimed, "X-Forwarded-Proto": "https"}
    answer = gateway.get("/api/v1/plans", headers=headers)
    assert values(answer, "x-forwarded-for") == [LOOPBACK]
    assert values(answer, "x-forwarded-proto") == ["http"]


@pytest.mark.parametrize(
    ("path", "server"),
    [
        ("/api/v1/auth/login", "user"),
        ("/api/v1/admin/users", "user"),
        ("/api/v1/admin/audit-log", "user"),
        ("/api/v1/images/uploads", "gallery"),
        ("/api/v1/storage", "gallery"),
        ("/docs/assets/swagger-ui.css", "user"),
        ("/docs/gallery", "gallery"),
        (f"/{BUCKET}/a/b.png", "s3"),
        ("/", "studio"),
    ],
)
def test_every_address_has_its_service(gateway: httpx.Client, path: str, server: str) -> None:
    assert gateway.get(path).json()["server"] == server


@pytest.mark.parametrize(
    "path",
    [
        "/internal/v1/users/1",
        "/internal/v1/users/1/export",
        "/metrics",
        "/readyz",
        "/api/v1/../../internal/v1/users/1",
        "//internal/v1/users/1",
        "/%69nternal/v1/users/1",
        "/api/v1/nothing",
    ],
)
def test_what_is_for_services_alone_is_not_routed(gateway: httpx.Client, path: str) -> None:
    answer = gateway.get(path)
    if answer.status_code == 200:  # another spelling may name a page, never an inner address
        assert answer.json()["server"] == "studio"
    else:
        assert answer.status_code == 404
        assert answer.json()["type"] == "/problems/not-found"


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/nothing", "/internal/v1/x"])
def test_the_gateways_own_answers_are_careful(gateway: httpx.Client, path: str) -> None:
    answer = gateway.get(path)
    assert {name: answer.headers[name] for name in CAREFUL} == CAREFUL


def test_headers_of_services_and_of_the_store_come_once(gateway: httpx.Client) -> None:
    for path in ("/api/v1/plans", f"/{BUCKET}/a/b.png"):
        answer = gateway.get(path)
        for name in ("x-content-type-options", "content-security-policy"):
            assert len(answer.headers.get_list(name)) == 1, path
    picture = gateway.get(f"/{BUCKET}/a/b.png")
    assert picture.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert picture.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_large_head_is_refused_before_a_service(gateway: httpx.Client) -> None:
    answer = gateway.get("/api/v1/plans", headers={"X-Long": "x" * 60_000})
    assert answer.status_code == 431


def test_the_store_takes_uploads_and_nothing_larger(gateway: httpx.Client) -> None:
    taken = gateway.put(f"/{BUCKET}/a/b.png", content=b"x" * 20 * 2**20)
    assert taken.json()["received"] == 20 * 2**20
    refused = gateway.put(f"/{BUCKET}/a/b.png", content=b"x" * 26_000_000)
    assert refused.status_code == 413
    assert refused.json()["type"] == "/problems/payload-too-large"


async def test_whoever_sends_no_head_is_cut_off(gateway: httpx.Client) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.base_url.port)
    writer.write(b"GET /api/v1/plans HTTP/1.1\r\n")
    rest = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert b" 200 " not in rest
