"""The operator's own endpoint is a real HTTP server here."""

import base64
import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from libs.moderation.findings import Finding, ModerationUnavailable
from libs.moderation.remote import RemoteCheck


class Endpoint(BaseHTTPRequestHandler):
    """Answers `status` and `body`, and keeps what it was asked."""

    status: ClassVar[int] = 200
    body: ClassVar[bytes] = b'{"flagged": false}'
    asked: ClassVar[list[tuple[str | None, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.headers["Authorization"], json.loads(content)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def endpoint(
    answer: bytes, code: int = 200, handler: type[Endpoint] = Endpoint
) -> Iterator[tuple[str, type[Endpoint]]]:
    handler = type("One", (handler,), {"status": code, "body": answer, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/judge", handler
    finally:
        server.shutdown()
        server.server_close()


async def test_it_is_asked_with_the_prompt_and_the_token() -> None:
    with endpoint(b'{"flagged": true, "category": "brand"}') as (url, seen):
        check = RemoteCheck(url, "secret")
        assert await check.check_prompt("a red apple") == Finding("brand")
        await check.aclose()
    assert seen.asked == [("Bearer secret", {"stage": "prompt", "prompt": "a red apple"})]


async def test_it_sees_the_picture_itself() -> None:
    pixels = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    with endpoint(b'{"flagged": false}') as (url, seen):
        check = RemoteCheck(url, "")
        assert await check.check_picture(pixels) is None
        await check.aclose()
    token, question = seen.asked[0]
    picture = Image.open(io.BytesIO(base64.b64decode(question["picture"])))
    assert token is None
    assert (question["stage"], question["media_type"]) == ("picture", "image/png")
    assert np.array_equal(np.asarray(picture), pixels)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"flagged": true}', 500),
        (b"no json", 200),
        (b"{}", 200),
        (b'{"flagged": true, "category": "A B"}', 200),
    ],
)
async def test_any_other_answer_is_none(body: bytes, status: int) -> None:
    with endpoint(body, status) as (url, _seen):
        check = RemoteCheck(url, "")
        with pytest.raises(ModerationUnavailable):
            await check.check_prompt("x")
        await check.aclose()


async def test_an_endpoint_that_answers_byte_by_byte_has_its_seconds_and_no_more() -> None:
    class Dripping(Endpoint):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            with suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(0.1)

    with endpoint(b"", handler=Dripping) as (url, _seen):
        check = RemoteCheck(url, "", seconds=0.4)
        begun = time.monotonic()
        with pytest.raises(ModerationUnavailable):
            await check.check_prompt("x")
        assert time.monotonic() - begun < 4
        await check.aclose()


async def test_nobody_there_is_no_answer() -> None:
    with endpoint(b"") as (url, _seen):
        pass
    check = RemoteCheck(url, "")
    with pytest.raises(ModerationUnavailable):
        await check.check_prompt("x")
    await check.aclose()
