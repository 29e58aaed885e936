"""The mail catcher: takes every e-mail, delivers none, shows what it took."""

import socket
from pathlib import Path

from dev.parts.program import LOOPBACK, Program, answers_http

TIMEOUT_SECONDS = 1.0


def mail_catcher(python: str, smtp_port: int, web_port: int, folder: Path) -> Program:
    """SMTP on `smtp_port`, the page on `web_port`, the e-mails in the Maildir `folder`."""
    return Program(
        name="mail",
        argv=[python, "-m", "dev.mail_catcher"],
        env={
            "EASEL_MAIL_SMTP_PORT": str(smtp_port),
            "EASEL_MAIL_WEB_PORT": str(web_port),
            "EASEL_MAIL_FOLDER": str(folder),
        },
        ports=[web_port, smtp_port],
        ready=lambda: greets(smtp_port) and answers_http(f"http://{LOOPBACK}:{web_port}/"),
    )


def greets(port: int) -> bool:
    """Whether an SMTP server says hello on this port."""
    try:
        with socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS) as connection:
            return connection.recv(4) == b"220 "
    except OSError:
        return False
