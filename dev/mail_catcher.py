"""Catch every e-mail of the local platform: `python -m dev.mail_catcher`.

An SMTP server that delivers nothing, and a page that shows what it took. Settings:
EASEL_MAIL_SMTP_PORT, EASEL_MAIL_WEB_PORT, EASEL_MAIL_FOLDER (a Maildir). The page: `/`; as JSON:
`/api/messages?to=ADDRESS`.
"""

import asyncio
import json
import os
import signal
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP

from dev.caught_mail import as_json, find_mail, list_page, mail_page, newest_first
from dev.parts.program import LOOPBACK

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'"
OWN_NAMES = (LOOPBACK, "localhost")


class Pages(BaseHTTPRequestHandler):
    """The pages over one Maildir."""

    def __init__(self, folder: Path, *given: Any) -> None:
        self._folder = folder
        super().__init__(*given)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if self.headers.get("Host", "").rpartition(":")[0] not in OWN_NAMES:
            self._answer(421, "text/plain", "not this server's name")
        elif address.path == "/":
            self._answer(200, "text/html", list_page(newest_first(self._folder)))
        elif address.path == "/api/messages":
            to = parse_qs(address.query).get("to", [""])[0]
            mails = as_json(newest_first(self._folder, to))
            self._answer(200, "application/json", json.dumps(mails))
        elif mail := find_mail(self._folder, address.path.removeprefix("/messages/")):
            self._answer(200, "text/html", mail_page(mail))
        else:
            self._answer(404, "text/plain", "there is no such e-mail")

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        """Quiet: who looks at a page is no news."""


async def catch(smtp_port: int, folder: Path) -> None:
    """Take e-mails until SIGTERM."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    kept = Mailbox(folder)
    server = await loop.create_server(
        partial(SMTP, kept, hostname="localhost"), LOOPBACK, smtp_port
    )
    async with server:
        await told.wait()


def main() -> None:
    folder = Path(os.environ["EASEL_MAIL_FOLDER"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    address = (LOOPBACK, int(os.environ["EASEL_MAIL_WEB_PORT"]))
    pages = ThreadingHTTPServer(address, partial(Pages, folder))
    Thread(target=pages.serve_forever, daemon=True).start()
    asyncio.run(catch(int(os.environ["EASEL_MAIL_SMTP_PORT"]), folder))


if __name__ == "__main__":
    main()
