"""A real SMTP server that keeps what it is sent, and may be told to refuse."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from libs.mail.settings import MailSettings

LOOPBACK = "127.0.0.1"
MAIL_FROM = "Easel <mail@easel.example>"


async def accept() -> str:
    return "250 kept"


def parse(envelope: Envelope) -> EmailMessage:
    """As a mail client shows it: the line ends of the wire are not the text's."""
    content = envelope.content
    assert isinstance(content, bytes)
    return BytesParser(EmailMessage, policy=default).parsebytes(content.replace(b"\r\n", b"\n"))


@dataclass
class MailServer:
    """`answer` is awaited for each message received; what is answered with 250 is kept."""

    port: int = 0
    answer: Callable[[], Awaitable[str]] = accept
    refused_recipients: dict[str, str] = field(default_factory=dict)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    received: list[EmailMessage] = field(default_factory=list)
    kept: list[Envelope] = field(default_factory=list)

    @property
    def messages(self) -> list[EmailMessage]:
        return [parse(envelope) for envelope in self.kept]

    def settings(self, **own: Any) -> MailSettings:
        """Settings of a process that sends to this server."""
        given = {"smtp_host": LOOPBACK, "smtp_port": self.port, "smtp_tls": "none", **own}
        return MailSettings(mail_transport="smtp", mail_from=MAIL_FROM, **given)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused_recipients:
            return self.refused_recipients[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.received.append(parse(envelope))
        answer = await self.answer()
        if answer.startswith("250"):
            self.kept.append(envelope)
        return answer

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login, given.password))
        return AuthResult(success=given.password == b"right", handled=False)


@asynccontextmanager
async def mail_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[MailServer]:
    """The server runs inside the block; with `tls` it offers STARTTLS and asks for a login."""
    kept = MailServer()

    def protocol() -> SMTP:
        return SMTP(
            kept,
            hostname="mail.example",
            tls_context=tls,
            require_starttls=tls is not None,
            auth_required=tls is not None,
            authenticator=kept.authenticate,
        )

    server = await asyncio.get_running_loop().create_server(protocol, LOOPBACK, 0)
    kept.port = server.sockets[0].getsockname()[1]
    try:
        yield kept
    finally:
        server.close()
